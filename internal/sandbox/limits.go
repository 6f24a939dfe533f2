package sandbox

import (
	"fmt"
	"strings"

	"symbi.dev/symbi/agent"
)

// limits says of R3's five limits what holds each on this node.
func (d *Driver) limits(r *record) []agent.LimitReport {
	return []agent.LimitReport{d.memoryLimit(r), d.cpuLimit(r), d.diskLimit(r), networkLimit(r), timeLimit(r)}
}

func (d *Driver) memoryLimit(r *record) agent.LimitReport {
	file := "memory.limit_in_bytes"
	if d.host.cgroupV2 {
		file = "memory.max"
	}
	what := "the control folder and init"
	if r.Tier == agent.TierGVisor {
		what = "the control folder, init and gVisor itself"
	}
	return agent.LimitReport{
		Limit: "memory_mb", Value: fmt.Sprintf("%d MB", r.Resources.MemoryMB), Enforcer: "cgroup " + file + ", no swap", Held: true,
		Note: fmt.Sprintf("the container has %d MB more, for %s; files in memory count",
			MemoryLimitMB(r.Tier, r.Resources.MemoryMB)-r.Resources.MemoryMB, what),
	}
}

func (d *Driver) cpuLimit(r *record) agent.LimitReport {
	l := agent.LimitReport{
		Limit: "cpu_cores", Value: fmt.Sprintf("%g cores", r.Resources.CPUCores), Enforcer: "cgroup CPU quota", Held: true,
	}
	if got := d.cpus(r.Resources.CPUCores); got < r.Resources.CPUCores {
		l.Note = fmt.Sprintf("the node has %g", got)
	}
	return l
}

func (d *Driver) diskLimit(r *record) agent.LimitReport {
	l := agent.LimitReport{Limit: "disk_io_mbps", Value: fmt.Sprintf("%d MB/s, reading and writing each", r.Resources.DiskIOMBps)}
	where := strings.Join(append([]string{"the task folder's device"}, d.host.disks...), " and ")
	switch {
	case r.Resources.DiskIOMBps <= 0:
		l.Enforcer, l.Note = "none", "no limit was asked for"
	case d.host.cgroupV2:
		l.Enforcer, l.Held = "cgroup io.max on "+where, true
	case r.Tier == agent.TierGVisor:
		l.Enforcer = "cgroup blkio.throttle on " + where
		l.Note = "reading is held; of writing only what is synchronised, because gVisor writes through the page cache, which cgroup version 1 does not hold"
	default:
		l.Enforcer = "cgroup blkio.throttle on " + where
		l.Note = "reading is held; of writing what is direct or synchronised, because cgroup version 1 does not hold the page cache"
	}
	if len(d.host.disks) == 0 {
		l.Note = strings.TrimPrefix(l.Note+"; the image is read without limit: its file system has no disk of its own", "; ")
		l.Held = false
	}
	return l
}

func networkLimit(r *record) agent.LimitReport {
	l := agent.LimitReport{
		Limit: "network_io_mbps", Value: fmt.Sprintf("%d MB/s", r.Resources.NetworkIOMBps), Enforcer: "no network device but loopback", Held: true,
	}
	if r.Resources.NetworkIOMBps > 0 {
		l.Note = "a sandbox has no network yet, whatever was asked for"
	}
	return l
}

func timeLimit(r *record) agent.LimitReport {
	return agent.LimitReport{
		Limit: "execution_timeout", Value: r.Resources.ExecutionTimeout.String(), Held: true,
		Enforcer: "the node's worker ends the container; time frozen does not count",
		Note:     "while no worker runs, init ends the program when the lease's time to live is over",
	}
}
