package sandbox

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/system"

	"symbi.dev/symbi/agent"
)

// Problem is something that keeps a node from running some or all tasks.
type Problem struct {
	Message string
	Fix     string // a command, or what to do
}

// Health is what a node can run, and what is wrong with it.
type Health struct {
	Tiers    []agent.Tier
	Problems []Problem
}

// healthMemory is how long an answer of Check is believed.
const healthMemory = 5 * time.Second

type health struct {
	mu    sync.Mutex
	last  Health
	until time.Time
}

// Check finds out what the node can run. It asks the engine every few seconds
// at most.
func (d *Driver) Check(ctx context.Context) Health {
	d.health.mu.Lock()
	defer d.health.mu.Unlock()
	if now := d.cfg.Now(); !now.Before(d.health.until) {
		d.health.last, d.health.until = d.check(ctx), now.Add(healthMemory)
	}
	return d.health.last
}

// setup is the fix of most problems.
const setup = "deploy/setup.sh"

func (d *Driver) check(ctx context.Context) Health {
	var h Health
	problem := func(fix, format string, args ...any) {
		h.Problems = append(h.Problems, Problem{Message: fmt.Sprintf(format, args...), Fix: fix})
	}
	ctx, cancel := engineCall(ctx)
	defer cancel()
	info, err := d.engine.Info(ctx)
	if err != nil {
		problem(setup, "no container engine answers at %s: %v", d.cfg.EngineHost, err)
		return h
	}
	usable := d.checkMounts(problem)
	for _, tier := range []agent.Tier{agent.TierDocker, agent.TierGVisor} {
		if hasRuntime(info, d.cfg.Runtimes[tier]) {
			h.Tiers = append(h.Tiers, tier)
			continue
		}
		problem(setup, "the engine has no runtime %s; tasks of the %s tier cannot run", d.cfg.Runtimes[tier], tier)
	}
	for language, ref := range d.cfg.Images {
		if _, err := d.engine.ImageInspect(ctx, ref); cerrdefs.IsNotFound(err) {
			problem(setup, "the image %s is missing; %s scripts cannot run", ref, language)
		}
	}
	slices.SortFunc(h.Problems, func(a, b Problem) int { return strings.Compare(a.Message, b.Message) })
	if !usable {
		h.Tiers = nil
	}
	return h
}

func hasRuntime(info system.Info, name string) bool {
	_, ok := info.Runtimes[name]
	return ok
}

// checkMounts finds out whether task folders can be mounted.
func (d *Driver) checkMounts(problem func(fix, format string, args ...any)) bool {
	ok := true
	if !mayMount() {
		problem("run the worker as root", "the worker may not mount task folders")
		ok = false
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		problem("modprobe loop", "there are no loop devices for task folders: %v", err)
		ok = false
	}
	if _, err := exec.LookPath(findTool(mkfsTool)); err != nil {
		problem("apt-get install e2fsprogs", "%s is missing, which makes task folders", mkfsTool)
		ok = false
	}
	return ok
}

// capSysAdmin is the bit of the capability to mount (capability.h).
const capSysAdmin = 21

// mayMount reports whether this process has that capability.
func mayMount() bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			caps, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && caps&(1<<capSysAdmin) != 0
		}
	}
	return false
}

// examineHost finds out what the configuration of containers depends on.
func (d *Driver) examineHost(ctx context.Context) {
	d.host.cpus = runtime.NumCPU()
	if _, err := os.Stat(cgroupRoot + "/cgroup.controllers"); err == nil {
		d.host.cgroupV2 = true
	}
	paths := []string{d.cfg.DataDir}
	ctx, cancel := context.WithTimeout(ctx, examineTimeout)
	defer cancel()
	if info, err := d.engine.Info(ctx); err == nil {
		d.host.cpus = max(info.NCPU, 1)
		d.host.cgroupV2 = info.CgroupVersion == "2"
		paths = append(paths, info.DockerRootDir)
	}
	d.host.disks = disksOf(paths...)
}

// examineTimeout bounds how long Open waits for an engine that hangs.
const examineTimeout = 2 * time.Second

// Tiers gives Check's answer as a node reports it.
func (d *Driver) Tiers(ctx context.Context) ([]agent.Tier, []string) {
	h := d.Check(ctx)
	var words []string
	for _, p := range h.Problems {
		words = append(words, p.Message+" ("+p.Fix+")")
	}
	return h.Tiers, words
}

// unknownRuntime recognises the engine's refusal of a runtime that it does
// not know, which has no code of its own.
func unknownRuntime(err error) bool {
	return strings.Contains(err.Error(), "nknown runtime") || strings.Contains(err.Error(), "invalid runtime name")
}
