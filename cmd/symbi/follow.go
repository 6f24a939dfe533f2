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
	report := c.reporter()
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

// reporter tells the user when a task begins to wait for something else.
func (c *cli) reporter() func(client.Task) {
	var last string
	return func(t client.Task) {
		says := string(t.State)
		if t.Why != "" {
			says += ": " + t.Why
		}
		if says != last && !t.State.Final() && t.State != agent.TaskRunning && t.State != agent.TaskStarting && t.State != agent.TaskWaiting {
			c.note("[%s]", says)
		}
		last = says
	}
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
