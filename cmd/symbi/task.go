package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/client"
)

func (c *cli) taskCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "task", Short: "Give agents work, and see what becomes of it",
		Example: "  symbi task submit strike-report --input reports=data.csv\n  symbi task logs -f 0123456789abcdef\n  symbi task get 0123456789abcdef",
	}
	cmd.AddCommand(c.taskSubmitCommand(), c.taskListCommand(), c.taskGetCommand(), c.taskLogsCommand(),
		c.taskArtifactsCommand(), c.taskCancelCommand(), c.taskRetryCommand())
	return cmd
}

func (c *cli) taskSubmitCommand() *cobra.Command {
	var w work
	var dry bool
	cmd := &cobra.Command{
		Use: "submit AGENT", Short: "Give an agent a task", Args: cobra.ExactArgs(1),
		Example: "  symbi task submit strike-report --input reports=data.csv --param top=10 --wait",
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			request, err := c.request(cmd.Context(), conn, w)
			if err != nil {
				return err
			}
			t, err := conn.Submit(cmd.Context(), c.ref(args[0]), request, dry)
			if err != nil {
				return err
			}
			if dry {
				return c.show(t, func(w io.Writer) { fmt.Fprintln(w, "the task would be accepted") })
			}
			return c.attend(cmd.Context(), conn, t, w)
		},
	}
	w.flags(cmd, "detach")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "check everything, change nothing")
	c.addOutputFlag(cmd)
	return cmd
}

func (c *cli) taskListCommand() *cobra.Command {
	var states []string
	var of, node string
	var all bool
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List tasks, newest first", Aliases: []string{"ls"}, Args: cobra.NoArgs,
		Example: "  symbi task list --agent strike-report --state Failed",
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			var in []agent.TaskState
			for _, s := range states {
				in = append(in, agent.TaskState(s))
			}
			var list client.TaskList
			if of != "" {
				list, err = conn.AgentTasks(cmd.Context(), c.ref(of), client.ListAgentTasksParams{State: in, Limit: limit})
			} else {
				ns := agent.Namespace(c.namespace)
				if all {
					ns = ""
				}
				list, err = conn.Tasks(cmd.Context(), ns, client.ListTasksParams{State: in, Node: node, Limit: limit})
			}
			if err != nil {
				return err
			}
			return c.show(list, func(w io.Writer) {
				row(w, "ID", "AGENT", "STATE", "TIER", "ATTEMPT", "NODE", "AGE", "TOOK", "WHY")
				for _, t := range list.Items {
					took := "-"
					if !t.EndedAt.IsZero() {
						took = short(t.EndedAt.Sub(t.CreatedAt))
					}
					row(w, t.Id, t.Agent, t.State, dash(t.Tier), t.Attempt, dash(t.Node), age(t.CreatedAt), took, t.Why)
				}
			})
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&states, "state", nil, "only in these states")
	f.StringVar(&of, "agent", "", "only of this agent")
	f.StringVar(&node, "node", "", "only on this node")
	f.BoolVarP(&all, "all-namespaces", "A", false, "in all namespaces")
	f.IntVar(&limit, "limit", 50, "at most this many")
	c.addOutputFlag(cmd)
	return cmd
}

func (c *cli) taskGetCommand() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use: "get TASK", Short: "Show a task, and why it stands where it stands", Args: cobra.ExactArgs(1),
		Example: "  symbi task get 0123456789abcdef --wait",
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			ns, id := agent.Namespace(c.namespace), agent.TaskID(args[0])
			t, err := conn.Task(cmd.Context(), ns, id)
			if err == nil && wait && !t.State.Final() {
				t, err = conn.Wait(cmd.Context(), ns, id, nil)
			}
			if err != nil {
				return err
			}
			return c.show(t, func(w io.Writer) { taskSheet(w, t) })
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "until it has ended")
	c.addOutputFlag(cmd)
	return cmd
}

// taskSheet shows all that is known of a task.
func taskSheet(w io.Writer, t client.Task) {
	row(w, "task", t.Namespace+"/"+t.Id)
	row(w, "agent", t.Agent)
	row(w, "state", t.State)
	if t.Why != "" {
		row(w, "why", t.Why)
	}
	if len(t.Holds) > 0 {
		row(w, "holds", holds(t.Holds))
	}
	if t.Failure.Cause != "" {
		row(w, "failure", string(t.Failure.Class)+"/"+string(t.Failure.Code)+": "+t.Failure.Cause)
		row(w, "do next", t.Failure.NextStep)
	}
	row(w, "attempt", t.Attempt)
	row(w, "node", dash(t.Node))
	if t.Progress.Message != "" || t.Progress.Percent > 0 {
		row(w, "progress", fmt.Sprintf("%.0f%% %s", t.Progress.Percent, t.Progress.Message))
	}
	if t.Tier != "" {
		row(w, "tier", fmt.Sprintf("%s: %s (score %.2f)", t.Tier, t.Risk.Why, t.Risk.Score))
		for _, f := range t.Risk.Factors {
			row(w, "", fmt.Sprintf("%.2f  %s: %s %s", f.Contribution, f.Factor, f.Value, f.Note))
		}
	}
	if t.Decision.Verdict != "" {
		row(w, "policy", fmt.Sprintf("%s by %s (revision %s)", t.Decision.Verdict, dash(strings.Join(t.Decision.Rules, ", ")), t.Decision.Revision))
	}
	for i, l := range t.Limits {
		name := ""
		if i == 0 {
			name = "limits"
		}
		held := "held by "
		if !l.Held {
			held = "NOT held: "
		}
		text := fmt.Sprintf("%s %s, %s%s", l.Limit, l.Value, held, l.Enforcer)
		if l.Note != "" {
			text += " (" + l.Note + ")"
		}
		row(w, name, text)
	}
	if !t.StartedAt.IsZero() {
		row(w, "used", usage(t.Usage))
	}
	for i, a := range t.Artifacts {
		name := ""
		if i == 0 {
			name = "artifacts"
		}
		row(w, name, fmt.Sprintf("%s (%s)", a.Path, size(a.Bytes)))
	}
	row(w, "submitted", t.CreatedAt.Local().Format(time.DateTime)+" by "+t.SubmittedBy)
	if !t.EndedAt.IsZero() {
		row(w, "ended", t.EndedAt.Local().Format(time.DateTime))
	}
	if len(t.Result) > 0 {
		row(w, "result", clip(string(t.Result), 200))
	}
	row(w, "next", t.Next)
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "… (-o json has all of it)"
	}
	return s
}

func usage(u agent.Usage) string {
	return fmt.Sprintf("%.2f s of CPU, %s of memory at most, %.2f s in all (%.2f s frozen), disk %s read %s written",
		u.CPUSeconds, size(u.PeakMemoryBytes), u.WallSeconds, u.FrozenSeconds, size(u.DiskReadBytes), size(u.DiskWriteBytes))
}

func (c *cli) taskLogsCommand() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "logs TASK", Short: "Print what a task's program printed", Args: cobra.ExactArgs(1),
		Example: "  symbi task logs -f 0123456789abcdef",
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			ns, id := agent.Namespace(c.namespace), agent.TaskID(args[0])
			if !follow {
				return conn.Log(cmd.Context(), ns, id, c.out)
			}
			_, err = c.follow(cmd.Context(), conn, ns, id)
			return err
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "as it is printed, until the task has ended")
	return cmd
}

func (c *cli) taskArtifactsCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "artifacts TASK", Short: "List or download what a task left", Args: cobra.ExactArgs(1),
		Example: "  symbi task artifacts 0123456789abcdef --output report",
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			ns, id := agent.Namespace(c.namespace), agent.TaskID(args[0])
			list, err := conn.Artifacts(cmd.Context(), ns, id)
			if err != nil {
				return err
			}
			if dir != "" {
				return c.download(cmd.Context(), conn, ns, id, list.Items, dir)
			}
			return c.show(list, func(w io.Writer) {
				row(w, "PATH", "SIZE", "TYPE", "DIGEST")
				for _, a := range list.Items {
					row(w, a.Path, size(a.Bytes), a.MediaType, a.Digest)
				}
			})
		},
	}
	cmd.Flags().StringVar(&dir, "output", "", "download them into this folder")
	c.addOutputFlag(cmd)
	return cmd
}

func (c *cli) download(ctx context.Context, conn *client.Conn, ns agent.Namespace, id agent.TaskID, items []agent.Artifact, dir string) error {
	for _, a := range items {
		if err := conn.Download(ctx, ns, id, a, dir); err != nil {
			return err
		}
		c.note("%s/%s (%s)", strings.TrimSuffix(dir, "/"), a.Path, size(a.Bytes))
	}
	return nil
}

func (c *cli) taskCancelCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "cancel TASK", Short: "End a task", Args: cobra.ExactArgs(1), Example: "  symbi task cancel 0123456789abcdef --reason 'wrong input'",
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			t, err := conn.Cancel(cmd.Context(), agent.Namespace(c.namespace), agent.TaskID(args[0]), reason)
			if err != nil {
				return err
			}
			return c.show(t, func(w io.Writer) { fmt.Fprintf(w, "task %s is ending\n", t.Id) })
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	c.addOutputFlag(cmd)
	return cmd
}

func (c *cli) taskRetryCommand() *cobra.Command {
	var w work
	cmd := &cobra.Command{
		Use: "retry TASK", Short: "Run an ended task again, with the same parameters and inputs", Args: cobra.ExactArgs(1),
		Example: "  symbi task retry 0123456789abcdef --follow",
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			t, err := conn.Retry(cmd.Context(), agent.Namespace(c.namespace), agent.TaskID(args[0]))
			if err != nil {
				return err
			}
			return c.attend(cmd.Context(), conn, t, w)
		},
	}
	w.attendFlags(cmd, "detach")
	c.addOutputFlag(cmd)
	return cmd
}

// jsonValue reads a parameter from the command line: JSON where it is some,
// text otherwise.
func jsonValue(s string) json.RawMessage {
	if json.Valid([]byte(s)) {
		return json.RawMessage(s)
	}
	b, err := json.Marshal(s)
	if err != nil {
		return json.RawMessage(`""`) // a string can always be written
	}
	return b
}
