package main

import (
	"context"
	"fmt"
	"time"

	"symbi.dev/symbi/agent"
)

const (
	manyWidth = 16
	// settleTime lets what creation began come to an end before idleness is measured.
	settleTime = 15 * time.Second
	idleTime   = 20 * time.Second
)

// manyAgents measures what many Ready agents cost while nothing happens, how
// long it takes to suspend and to resume all of them, and how long `symbi dev`
// takes to be ready on their folder.
func manyAgents(ctx context.Context, b *bench) error {
	dir, done, err := tempDir()
	if err != nil {
		return err
	}
	defer done()
	if err := b.crowd(ctx, dir+"/data"); err != nil {
		return err
	}
	c, err := b.startChild(ctx, dir+"/data")
	if err != nil {
		return err
	}
	if err := c.stop(); err != nil {
		return err
	}
	return b.report(figure{Name: "dev.ready_10k_s", Value: c.ready.Seconds(), Unit: "s", Goal: "<=3",
		Note: fmt.Sprintf("%d agents in the folder", b.agents)})
}

// crowd makes the agents and measures them.
func (b *bench) crowd(ctx context.Context, data string) error {
	w, err := b.startWithin(ctx, data, nil)
	if err != nil {
		return err
	}
	defer w.Stop()
	ref := func(i int) agent.Ref {
		return agent.Ref{Namespace: agent.DefaultNamespace, Name: agent.Name(fmt.Sprintf("idle-%d", i))}
	}
	all := func(do func(ctx context.Context, i int) error, until ...agent.State) (time.Duration, error) {
		began := time.Now()
		err := inFlight(ctx, b.agents, manyWidth, do)
		if err == nil {
			err = w.awaitStates(ctx, until...)
		}
		return time.Since(began), err
	}
	before := heapBytes()
	took, err := all(func(ctx context.Context, i int) error {
		_, err := w.conn.CreateAgent(ctx, agent.DefaultNamespace, idleManifest(string(ref(i).Name)), false)
		return err
	}, agent.Initializing)
	if err != nil {
		return err
	}
	fmt.Printf("# %d agents Ready after %.1f s\n", b.agents, took.Seconds())
	if err := pause(ctx, settleTime); err != nil {
		return err
	}
	grown := float64(heapBytes()-before) / 1024 / float64(b.agents)
	if err := b.report(figure{Name: "agents.heap_kb", Value: grown, Unit: "KiB/agent", Goal: "<=64",
		Note: fmt.Sprintf("%d Ready agents; all of symbi dev, the Temporal server included", b.agents)}); err != nil {
		return err
	}
	used := cpuTime()
	if err := pause(ctx, idleTime); err != nil {
		return err
	}
	idle := (cpuTime() - used).Seconds() / idleTime.Seconds() * 100
	if err := b.report(figure{Name: "agents.idle_cpu_percent", Value: idle, Unit: "% of a core", Goal: "<=5",
		Note: fmt.Sprintf("%d Ready agents; all of symbi dev, the Temporal server included", b.agents)}); err != nil {
		return err
	}
	if took, err = all(func(ctx context.Context, i int) error {
		_, err := w.conn.Suspend(ctx, ref(i), "bench")
		return err
	}, agent.Ready); err != nil {
		return err
	}
	if err := b.report(figure{Name: "agents.suspend_all_s", Value: took.Seconds(), Unit: "s", Goal: "<=60"}); err != nil {
		return err
	}
	if took, err = all(func(ctx context.Context, i int) error {
		_, err := w.conn.Resume(ctx, ref(i), "bench")
		return err
	}, agent.Suspended); err != nil {
		return err
	}
	return b.report(figure{Name: "agents.resume_all_s", Value: took.Seconds(), Unit: "s", Goal: "<=60"})
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
