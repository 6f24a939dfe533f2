package sandbox

import (
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/docker/docker/api/types/blkiodev"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox/initproto"
)

// Labels of every container. Clean-up touches only what carries its own
// installation and node.
const (
	labelInstallation = "dev.symbi.installation"
	labelNode         = "dev.symbi.node"
	labelTask         = "dev.symbi.task"
	labelLease        = "dev.symbi.lease"
	labelAttempt      = "dev.symbi.attempt"
)

// What a container gets beside what the manifest asks for.
const (
	// overheadMB is added to memory_mb in every tier: the control folder,
	// which is in memory, and init.
	overheadMB = controlMB + 16
	// sentryMB is added in the gvisor tier for gVisor's own kernel, which takes
	// about 20 MB (measured with programs of 1 to 800 MB).
	sentryMB = 32
	// Limits on processes and threads. In the gvisor tier the engine counts
	// those of gVisor, about two a process of the program and 40 more (550
	// measured at init's limit); meeting it would end the sandbox, so that it
	// is far above init's.
	dockerPids = 512
	gvisorPids = 2048
	// shmMB is /dev/shm; what lies there counts as the program's memory.
	shmMB = 64
	// oomScore has the host's kernel end sandboxes before anything else when
	// the host itself runs out of memory.
	oomScore = 500
	// leastCPU is the least share of a core that engines accept.
	leastCPU = 0.01
)

// MemoryLimitMB is the container's memory limit, in MiB, of a task that asks
// for memoryMB: what it takes of the node.
func MemoryLimitMB(tier agent.Tier, memoryMB int64) int64 {
	if tier == agent.TierGVisor {
		return memoryMB + overheadMB + sentryMB
	}
	return memoryMB + overheadMB
}

// containerName is derived from the lease, so that the engine itself refuses
// a second container for it.
func (d *Driver) containerName(l agent.LeaseID) string {
	return "symbi-" + d.cfg.Installation + "-" + string(l)
}

// containerConfig is the container of a sandbox whose task folder lies on a
// device.
func (d *Driver) containerConfig(s *Spec, img Image, device string) (*container.Config, *container.HostConfig) {
	config := &container.Config{
		Image:           img.ID,
		Entrypoint:      []string{filepath.Join(initproto.BinDir, "symbi-init")},
		User:            fmt.Sprintf("%d:%d", initproto.UserID, initproto.UserID),
		WorkingDir:      "/",
		Hostname:        "sandbox",
		NetworkDisabled: true,
		Healthcheck:     &container.HealthConfig{Test: []string{"NONE"}}, // an image's own would run beside the task
		Labels: map[string]string{
			labelInstallation: d.cfg.Installation, labelNode: string(d.cfg.Node),
			labelTask: s.Task.String(), labelLease: string(s.Lease), labelAttempt: strconv.Itoa(s.Attempt),
		},
	}
	memory := MemoryLimitMB(s.Tier, s.Resources.MemoryMB) << 20
	no := false
	host := &container.HostConfig{
		Runtime:        d.cfg.Runtimes[s.Tier],
		NetworkMode:    "none",
		IpcMode:        "private",
		CgroupnsMode:   "private",
		ReadonlyRootfs: true,
		CapDrop:        []string{"ALL"},
		SecurityOpt:    []string{"no-new-privileges", "seccomp=" + seccompProfile},
		LogConfig:      container.LogConfig{Type: "none"}, // init keeps the log
		RestartPolicy:  container.RestartPolicy{Name: container.RestartPolicyDisabled},
		OomScoreAdj:    oomScore,
		ShmSize:        shmMB << 20,
		Init:           &no,
		Mounts:         d.mounts(s, img),
		Resources: container.Resources{
			Memory: memory, MemorySwap: memory, // equal: no swap
			NanoCPUs:  int64(d.cpus(s.Resources.CPUCores) * 1e9),
			PidsLimit: pids(s.Tier),
			Ulimits: []*container.Ulimit{
				{Name: "nofile", Soft: maxOpenFiles, Hard: maxOpenFiles},
				{Name: "core", Soft: 0, Hard: 0},
			},
		},
	}
	if rate := uint64(s.Resources.DiskIOMBps) * 1e6; rate > 0 {
		for _, disk := range append([]string{device}, d.host.disks...) {
			throttle := &blkiodev.ThrottleDevice{Path: disk, Rate: rate}
			host.BlkioDeviceReadBps = append(host.BlkioDeviceReadBps, throttle)
			host.BlkioDeviceWriteBps = append(host.BlkioDeviceWriteBps, throttle)
		}
	}
	return config, host
}

// cpus is what an engine accepts of what a task asks for.
func (d *Driver) cpus(cores float64) float64 {
	return min(max(cores, leastCPU), float64(d.host.cpus))
}

func pids(t agent.Tier) *int64 {
	n := int64(dockerPids)
	if t == agent.TierGVisor {
		n = gvisorPids
	}
	return &n
}

// mounts are what a sandbox sees of the host.
func (d *Driver) mounts(s *Spec, img Image) []mount.Mount {
	t := d.folders.task(s.Lease)
	tmp := filepath.Join(t.task(), "tmp")
	list := []mount.Mount{
		bind(d.folders.bin(), initproto.BinDir, true),
		bind(d.folders.lib(), initproto.LibDir, true),
		bind(d.folders.run(s.Lease), initproto.SocketDir, true),
		bind(t.input(), initproto.InputDir, true),
		bind(t.program(), initproto.ProgramDir, true),
		bind(t.control(), initproto.ControlDir, false),
		bind(t.task(), initproto.TaskDir, false),
		bind(tmp, "/tmp", false),
	}
	for n, v := range img.Volumes {
		// The engine would make a volume on the host, without bound.
		list = append(list, bind(t.volume(n), v, false))
	}
	return list
}

func bind(from, to string, readOnly bool) mount.Mount {
	return mount.Mount{
		Type: mount.TypeBind, Source: from, Target: to, ReadOnly: readOnly,
		BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate},
	}
}
