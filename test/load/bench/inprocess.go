package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/client"
	"symbi.dev/symbi/internal/boot"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/worker"
)

// within is a `symbi dev` in this process, so that what lies beneath it can be
// driven beside it: the same cluster, the same worker.
type within struct {
	*boot.DevProcess
	conn *client.Conn
}

// startWithin starts one on a data folder.
func (b *bench) startWithin(ctx context.Context, data string, work worker.NodeWork) (*within, error) {
	binary, err := filepath.Abs(b.binary)
	if err != nil {
		return nil, err
	}
	p, err := boot.Dev(ctx, boot.DevConfig{
		Data: data, Listen: "127.0.0.1:0", Version: "bench", NodeWork: work,
		InitBinary: filepath.Join(filepath.Dir(binary), "symbi-init"),
		Logger:     slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return nil, err
	}
	token, err := client.ReadToken(p.TokenFile)
	if err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	conn, err := client.New(client.Config{Server: p.URL, Token: token})
	if err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return &within{DevProcess: p, conn: conn}, nil
}

// inFlight does n things, at most width at a time, and gives the first error.
func inFlight(ctx context.Context, n, width int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range width {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(ctx, i); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// idleManifest is the manifest of an agent that is only there.
func idleManifest(name string) []byte {
	return fmt.Appendf(nil, "apiVersion: symbi/v1\nkind: Agent\nname: %s\nprogram:\n  script: {language: shell, code: \"true\"}\n", name)
}

// awaitStates waits until no agent is in one of the states.
func (w *within) awaitStates(ctx context.Context, states ...agent.State) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		left, _, err := w.Store().ListAgents(ctx, store.AgentFilter{Namespace: agent.DefaultNamespace, States: states}, store.Page{Limit: 1})
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// indent puts a text under a YAML block.
func indent(code string) string {
	return "      " + strings.ReplaceAll(strings.TrimRight(code, "\n"), "\n", "\n      ") + "\n"
}
