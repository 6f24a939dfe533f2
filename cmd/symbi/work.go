package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/client"
)

// work is what a task is given, and how the command stays with it.
type work struct {
	inputs, params       []string
	follow, wait, detach bool
	usual                string // which of the three is done without any
	remove               bool
	output               string
}

// flags adds the flags of a task; usual is what is done without any.
func (w *work) flags(cmd *cobra.Command, usual string) {
	f := cmd.Flags()
	f.StringArrayVar(&w.inputs, "input", nil, "NAME=FILE, an input; may be repeated")
	f.StringArrayVar(&w.params, "param", nil, "NAME=VALUE, a parameter, JSON or text; may be repeated")
	w.attendFlags(cmd, usual)
}

func (w *work) attendFlags(cmd *cobra.Command, usual string) {
	f := cmd.Flags()
	says := func(what, text string) string {
		if what == usual {
			return text + " (this is done without any of the three)"
		}
		return text
	}
	w.usual = usual
	f.BoolVar(&w.follow, "follow", false, says("follow", "print its log until it has ended"))
	f.BoolVar(&w.wait, "wait", false, "wait until it has ended")
	f.BoolVar(&w.detach, "detach", false, says("detach", "submit it and leave"))
	f.StringVar(&w.output, "output", "", "download what it leaves into this folder")
	cmd.MarkFlagsMutuallyExclusive("follow", "wait", "detach")
}

// how is the way in which the command stays with the task: follow, wait or detach.
func (w work) how() string {
	switch {
	case w.follow:
		return "follow"
	case w.wait:
		return "wait"
	case w.detach:
		return "detach"
	}
	return w.usual
}

// check refuses flags that contradict each other.
func (w work) check() error {
	if w.remove && w.how() == "detach" {
		return agent.Errorf(agent.ErrInvalid, "--rm would end the agent before its task; add --follow or --wait")
	}
	return nil
}

// pair splits NAME=VALUE.
func pair(flag, s string) (string, string, error) {
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return "", "", agent.Errorf(agent.ErrInvalid, "--%s %s: write NAME=%s", flag, s, map[string]string{"input": "FILE", "param": "VALUE"}[flag])
	}
	return name, value, nil
}

// request uploads the inputs and makes the task's request.
func (c *cli) request(ctx context.Context, conn *client.Conn, w work) (client.TaskRequest, error) {
	var r client.TaskRequest
	params := map[string]json.RawMessage{}
	for _, p := range w.params {
		name, value, err := pair("param", p)
		if err != nil {
			return r, err
		}
		params[name] = jsonValue(value)
	}
	if len(params) > 0 {
		b, err := json.Marshal(params)
		if err != nil {
			return r, fmt.Errorf("write the parameters: %w", err)
		}
		r.Params = b
	}
	for _, in := range w.inputs {
		name, path, err := pair("input", in)
		if err != nil {
			return r, err
		}
		digest, _, err := conn.Upload(ctx, path, c.progress("uploading "+path))
		if err != nil {
			return r, err
		}
		if r.Inputs == nil {
			r.Inputs = map[string]client.TaskInput{}
		}
		r.Inputs[name] = client.TaskInput{Digest: string(digest)}
	}
	return r, nil
}

// attend stays with a task as the flags say, and gives its end as the
// command's.
func (c *cli) attend(ctx context.Context, conn *client.Conn, t client.Task, w work) error {
	ns, id := agent.Namespace(t.Namespace), agent.TaskID(t.Id)
	var err error
	switch w.how() {
	case "detach":
		return c.show(t, func(w io.Writer) {
			fmt.Fprintf(w, "task %s\n", t.Id)
			c.note("follow it with: symbi task logs -f %s", t.Id)
		})
	case "wait":
		report, stop := c.reporter()
		defer stop()
		t, err = conn.Wait(ctx, ns, id, report)
	default:
		t, err = c.follow(ctx, conn, ns, id)
	}
	if err != nil || !t.State.Final() {
		return err
	}
	if w.output != "" {
		if err := c.download(ctx, conn, ns, id, t.Artifacts, w.output); err != nil {
			return err
		}
	}
	if err := c.summary(t, w); err != nil {
		return err
	}
	return endOf(t)
}

// summary prints what came of a task.
func (c *cli) summary(t client.Task, w work) error {
	if c.format != "" && c.format != "table" {
		if w.how() == "follow" {
			return nil // the log is the output
		}
		return c.show(t, nil)
	}
	c.note("task %s: %s after %s, %s", t.Id, t.State, short(t.EndedAt.Sub(t.CreatedAt)), usage(t.Usage))
	if len(t.Result) > 0 {
		c.note("result: %s", clip(string(t.Result), 400))
	}
	for _, warning := range t.Warnings {
		c.note("warning: %s", warning)
	}
	if w.output == "" && len(t.Artifacts) > 0 {
		names := make([]string, len(t.Artifacts))
		for i, a := range t.Artifacts {
			names[i] = a.Path
		}
		c.note("artifacts: %s; download them with: symbi task artifacts %s --output DIR", strings.Join(names, ", "), t.Id)
	}
	return nil
}

// endOf is a task's end as an error for the exit code; nil when it succeeded.
func endOf(t client.Task) error {
	if t.State == agent.TaskSucceeded {
		return nil
	}
	e := &taskError{code: exitFailed, message: fmt.Sprintf("task %s: %s: %s", t.Id, t.State, t.Why)}
	if f := t.Failure; f.Cause != "" {
		e.message = fmt.Sprintf("task %s failed (%s/%s): %s\n%s", t.Id, f.Class, f.Code, f.Cause, f.NextStep)
		if f.Code == agent.CodeTimeout {
			e.code = exitTimedOut
		}
		if f.Class == agent.FailPolicy {
			e.code = exitDenied
		}
	}
	return e
}
