package boot

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"symbi.dev/symbi/activities"
	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/blob"
	"symbi.dev/symbi/internal/scheduler"
	"symbi.dev/symbi/server"
	"symbi.dev/symbi/worker"
)

// nodeConfig is what a worker needs beside the engines.
type nodeConfig struct {
	id         agent.NodeID
	dataDir    string
	capacity   worker.Capacity
	leaseTTL   time.Duration
	initBinary string
	tier       agent.Tier
	trusted    []agent.Digest
	work       worker.NodeWork // in the place of sandboxes, if set
}

// cacheBytes bounds a node's copies of blobs.
const cacheBytes = 10 << 30

// startNode starts a node: its sandboxes, its share in the scheduler, its
// worker. It gives what tasks would fail for on it.
func (e *engines) startNode(ctx context.Context, c nodeConfig, s *stack) (problems []string, err error) {
	cache, err := blob.NewCache(e.blobs, c.dataDir+"/cache", cacheBytes)
	if err != nil {
		return nil, err
	}
	boxes, err := e.openSandboxes(ctx, c, s)
	if err != nil {
		return nil, err
	}
	steps := &activities.Steps{
		Store: e.store, Policy: e.policy, Audit: e.audit, Signals: server.NewTemporal(e.temporal, ""),
		Signer: e.signer, Images: boxes, Blobs: e.blobs, News: e.bus,
		TrustedDigests: c.trusted, DefaultTier: c.tier, LeaseTTL: c.leaseTTL, Logger: e.logger, Now: clock,
	}
	sched := scheduler.New(scheduler.Config{
		Store: e.store, Holder: fmt.Sprintf("%s-%d", c.id, os.Getpid()),
		Tell: steps.Grant, Wake: e.bus.WakeScheduler, Now: clock, Logger: e.logger,
	})
	steps.Leases = sched
	work := c.work
	if work == nil {
		work = activities.NewNode(activities.NodeConfig{
			Node: c.id, Store: e.store, Policy: e.policy, Audit: e.audit, Sandboxes: boxes, Inputs: cache,
			Sink: e.blobs, News: e.bus, Logger: e.logger, Now: clock,
		})
	}
	w := worker.New(worker.Config{
		Node: c.id, Capacity: c.capacity, Version: e.version, Temporal: e.temporal, Steps: steps, NodeWork: work,
		Nodes: e.store, Logs: boxes, News: e.bus, Problems: boxes.Tiers, Logger: e.logger, Now: clock,
	})
	if err := w.Start(ctx); err != nil {
		return nil, err
	}
	s.pushFunc(w.Stop)
	if err := sched.Start(ctx); err != nil {
		return nil, err
	}
	s.pushFunc(sched.Stop)
	wake, err := e.bus.OnSchedulerWake(sched.Nudge)
	if err != nil {
		return nil, err
	}
	s.push(wake.Unsubscribe)
	_, problems = boxes.Tiers(ctx)
	return problems, nil
}

// What a node keeps back from tasks, for itself and the system beside it.
const (
	reserveDiskMB = 2048
	// cpuShare is how many cores are offered a core that is there: programs
	// wait more than they compute, and the kernel shares what there is by
	// each one's limit.
	cpuShare = 2
)

// measure finds out what this host can offer, where the settings do not say.
func measure(c worker.Capacity, dataDir string) (worker.Capacity, error) {
	if c.MemoryMB == 0 {
		total, err := hostMemory()
		if err != nil {
			return c, err
		}
		c.MemoryMB = max(total-ownMemory(total), total/2)
	}
	if c.CPUCores == 0 {
		c.CPUCores = float64(runtime.NumCPU()) * cpuShare
	}
	if c.DiskMB == 0 {
		var fs unix.Statfs_t
		if err := unix.Statfs(dataDir, &fs); err != nil {
			return c, fmt.Errorf("measure the data folder's disk: %w", err)
		}
		free := int64(fs.Bavail) * fs.Bsize >> 20
		c.DiskMB = max(free-reserveDiskMB, free/2)
	}
	return c, nil
}

// hostNode makes a node's ID of the host's name.
func hostNode() (agent.NodeID, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("name the node: %w; set worker.node", err)
	}
	name, _, _ = strings.Cut(strings.ToLower(name), ".")
	if err := agent.CheckName(name); err != nil {
		return "", agent.Errorf(agent.ErrInvalid, "the host's name cannot name the node: %w; set worker.node", err)
	}
	return agent.NodeID(name), nil
}
