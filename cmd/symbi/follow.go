package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/client"
)

// follow prints a task's log until it has ended. Ctrl-C lets go of it: the
// task goes on, and the user is told how to come back.
func (c *cli) follow(ctx context.Context, conn *client.Conn, ns agent.Namespace, id agent.TaskID) (client.Task, error) {
	report, stop := c.reporter()
	defer stop()
	t, err := conn.Follow(ctx, ns, id, client.Follower{
		Line: func(l client.LogLine) error {
			to, end := c.out, "\n"
			if l.Stream == "stderr" {
				to = c.errOut
			}
			if l.Partial {
				end = ""
			}
			_, err := fmt.Fprint(to, l.Text, end)
			return err
		},
		Gap: func(n int64) error {
			c.note("… %s of the log were not kept …", size(n))
			return nil
		},
		Task: func(t client.Task) error {
			report(t)
			return nil
		},
	})
	if errors.Is(err, context.Canceled) {
		c.note("\nthe task goes on; come back with: symbi task logs -f %s", id)
		return t, nil
	}
	return t, err
}

// reportAfter is how long a task must wait for something before the user is
// told; most waits are over sooner.
const reportAfter = time.Second

// reporter tells the user what a task waits for. stop ends it.
func (c *cli) reporter() (report func(client.Task), stop func()) {
	var last string
	pending := time.NewTimer(0)
	pending.Stop()
	return func(t client.Task) {
		says := string(t.State)
		if t.Why != "" {
			says += ": " + t.Why
		}
		if says == last {
			return
		}
		last = says
		pending.Stop()
		switch t.State {
		case agent.TaskRunning, agent.TaskStarting, agent.TaskWaiting:
		default:
			if !t.State.Final() {
				pending = time.AfterFunc(reportAfter, func() { c.note("[%s]", says) })
			}
		}
	}, func() { pending.Stop() }
}

// progressEvery is how often a bar is drawn anew.
const progressEvery = 200 * time.Millisecond

// progressAfter is how long something may take before a bar is shown.
const progressAfter = time.Second

// progress draws how far an upload is, on a terminal, once it takes long.
func (c *cli) progress(what string) func(done, of int64) {
	info, err := os.Stderr.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	began, drawn := time.Now(), time.Time{}
	return func(done, of int64) {
		now := time.Now()
		if now.Sub(began) < progressAfter || now.Sub(drawn) < progressEvery && done < of {
			return
		}
		drawn = now
		fmt.Fprintf(c.errOut, "\r%s %s of %s", what, size(done), size(of))
		if done >= of {
			fmt.Fprintln(c.errOut)
		}
	}
}
