package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/client"
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
	all := func(do func(ctx context.Context, i int) error) (time.Duration, error) {
		began, used := time.Now(), cpuTime()
		err := inFlight(ctx, b.agents, manyWidth, do)
		took := time.Since(began)
		fmt.Fprintf(os.Stderr, "bench: %d agents in %.1f s, %.2f ms of CPU each\n", b.agents, took.Seconds(),
			(cpuTime()-used).Seconds()*1000/float64(b.agents))
		return took, err
	}
	before := heapBytes()
	_, err = all(func(ctx context.Context, i int) error {
		_, err := w.conn.CreateAgent(ctx, agent.DefaultNamespace, idleManifest(string(ref(i).Name)), false)
		return err
	})
	if err == nil {
		err = w.awaitStates(ctx, agent.Initializing)
	}
	if err != nil {
		return err
	}
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
	took, err := all(func(ctx context.Context, i int) error {
		answer, err := w.conn.Suspend(ctx, ref(i), "bench")
		return w.until(ctx, ref(i), answer, err, true)
	})
	if err != nil {
		return err
	}
	if err := b.report(figure{Name: "agents.suspend_all_s", Value: took.Seconds(), Unit: "s", Goal: "<=60"}); err != nil {
		return err
	}
	if took, err = all(func(ctx context.Context, i int) error {
		answer, err := w.conn.Resume(ctx, ref(i), "bench")
		return w.until(ctx, ref(i), answer, err, false)
	}); err != nil {
		return err
	}
	return b.report(figure{Name: "agents.resume_all_s", Value: took.Seconds(), Unit: "s", Goal: "<=60"})
}

// until asks for an agent until it is held, or held no more. The answer to the
// command shows it already, unless the server tired of waiting.
func (w *within) until(ctx context.Context, ref agent.Ref, a client.Agent, err error, held bool) error {
	for err == nil && slices.Contains(a.Holds, agent.HoldUser) != held {
		if err = pause(ctx, 100*time.Millisecond); err == nil {
			a, err = w.conn.Agent(ctx, ref)
		}
	}
	return err
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
