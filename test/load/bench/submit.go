package main

import (
	"context"
	"fmt"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/server"
	"symbi.dev/symbi/workflows/api"
)

const (
	submitRounds = 6
	submitEach   = 500 // agents a round, each way
	submitWidth  = 16
)

// submit measures how many agents a second come to Ready over REST, against
// the same workflow started by the SDK: the same cluster, worker and
// concurrency, in turns. What the workflow's own steps read is in the store
// before the raw turn begins.
func submit(ctx context.Context, b *bench) error {
	dir, done, err := tempDir()
	if err != nil {
		return err
	}
	defer done()
	w, err := b.startWithin(ctx, dir+"/data", nil)
	if err != nil {
		return err
	}
	defer w.Stop()
	var rest, raw time.Duration
	turns := func(round int, tag string) (time.Duration, time.Duration, error) {
		r, err := w.overREST(ctx, fmt.Sprintf("%s-rest-%d", tag, round))
		if err != nil {
			return 0, 0, err
		}
		s, err := w.bySDK(ctx, fmt.Sprintf("%s-raw-%d", tag, round))
		return r, s, err
	}
	if _, _, err := turns(0, "warm"); err != nil {
		return err
	}
	for round := range submitRounds {
		r, s, err := turns(round, "timed")
		if err != nil {
			return err
		}
		rest, raw = rest+r, raw+s
	}
	n := float64(submitRounds * submitEach)
	perS, rawPerS := n/rest.Seconds(), n/raw.Seconds()
	if err := b.report(figure{Name: "submit.per_s", Value: perS, Unit: "agents/s", Baseline: rawPerS,
		Note: fmt.Sprintf("to Ready, %d in flight; the baseline is ExecuteWorkflow of the same workflow", submitWidth)}); err != nil {
		return err
	}
	return b.report(figure{Name: "submit.ratio", Value: perS / rawPerS, Unit: "ratio", Goal: ">=0.85", Baseline: 1})
}

// overREST creates agents as a client does, and waits until all are Ready.
func (w *within) overREST(ctx context.Context, prefix string) (time.Duration, error) {
	began := time.Now()
	err := inFlight(ctx, submitEach, submitWidth, func(ctx context.Context, i int) error {
		_, err := w.conn.CreateAgent(ctx, agent.DefaultNamespace, idleManifest(fmt.Sprintf("%s-%d", prefix, i)), false)
		return err
	})
	if err == nil {
		err = w.awaitStates(ctx, agent.Initializing)
	}
	return time.Since(began), err
}

// bySDK starts the workflows of agents whose rows are there.
func (w *within) bySDK(ctx context.Context, prefix string) (time.Duration, error) {
	recs := make([]store.Agent, submitEach)
	for i := range recs {
		m, _, err := agent.Parse(idleManifest(fmt.Sprintf("%s-%d", prefix, i)))
		if err != nil {
			return 0, err
		}
		recs[i], _, err = w.Store().CreateAgent(ctx, store.NewAgent{
			Ref: agent.Ref{Namespace: m.Namespace, Name: m.Name}, Owner: agent.PrincipalAdmin, Manifest: m.Canonical(),
			Spec: store.AgentSpec{Priority: m.Scheduling.Priority, MinTier: m.Sandbox.MinTier}, At: time.Now(),
		}, nil)
		if err == nil {
			err = w.Store().MarkAgentStarted(ctx, recs[i].ID)
		}
		if err != nil {
			return 0, err
		}
	}
	starter := server.NewTemporal(w.Temporal(), w.URL) // ExecuteWorkflow with the options of an agent
	began := time.Now()
	err := inFlight(ctx, submitEach, submitWidth, func(ctx context.Context, i int) error {
		return starter.StartAgent(ctx, api.AgentInput{
			ID: recs[i].ID, Owner: recs[i].Owner, Priority: recs[i].Spec.Priority, ManifestVersion: recs[i].ManifestVersion,
		})
	})
	if err == nil {
		err = w.awaitStates(ctx, agent.Initializing)
	}
	return time.Since(began), err
}
