package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/client"
)

func (c *cli) agentCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "agent", Short: "Create agents, look at them, and steer them",
		Example: "  symbi agent run -f agent.yaml --input reports=data.csv --follow\n  symbi agent list\n  symbi agent suspend strike-report --reason 'look closer'",
	}
	cmd.AddCommand(
		c.agentRunCommand(), c.agentCreateCommand(), c.agentUpdateCommand(), c.agentListCommand(), c.agentGetCommand(),
		c.agentHistoryCommand(),
		c.steerCommand("suspend", "Make an agent stand still", (*client.Conn).Suspend),
		c.steerCommand("resume", "Let a suspended agent go on", (*client.Conn).Resume),
		c.steerCommand("terminate", "End an agent for good; its name may be used again", (*client.Conn).Terminate),
	)
	return cmd
}

// withManifest makes a command that takes a manifest's file.
func (c *cli) withManifest(use, short, example string, run func(ctx context.Context, conn *client.Conn, m *agent.Manifest, dry bool) (client.Agent, string, error)) *cobra.Command {
	var file string
	var dry bool
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			m, err := readManifest(file)
			if err != nil {
				return err
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			if err := c.uploadScript(ctx, conn, m, file); err != nil {
				return err
			}
			a, what, err := run(ctx, conn, m, dry)
			if err != nil {
				return &fileError{file: file, err: err}
			}
			c.warn(a)
			if dry {
				what = "would be " + what
			}
			return c.show(a, func(w io.Writer) { fmt.Fprintf(w, "agent %s/%s %s\n", a.Namespace, a.Name, what) })
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the manifest's file, - for standard input")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "check everything, change nothing")
	_ = cmd.MarkFlagRequired("file")
	c.addOutputFlag(cmd)
	return cmd
}

func (c *cli) applyCommand() *cobra.Command {
	return c.withManifest("apply -f FILE", "Create an agent, or update it if its manifest differs", "  symbi apply -f agent.yaml",
		func(ctx context.Context, conn *client.Conn, m *agent.Manifest, dry bool) (client.Agent, string, error) {
			return c.put(ctx, conn, m, dry)
		})
}

func (c *cli) agentCreateCommand() *cobra.Command {
	return c.withManifest("create -f FILE", "Create an agent", "  symbi agent create -f agent.yaml",
		func(ctx context.Context, conn *client.Conn, m *agent.Manifest, dry bool) (client.Agent, string, error) {
			a, err := conn.CreateAgent(ctx, m.Namespace, m.YAML(), dry)
			return a, "created", err
		})
}

func (c *cli) agentUpdateCommand() *cobra.Command {
	return c.withManifest("update -f FILE", "Give an agent a new manifest, for tasks submitted from now on", "  symbi agent update -f agent.yaml",
		func(ctx context.Context, conn *client.Conn, m *agent.Manifest, dry bool) (client.Agent, string, error) {
			a, err := conn.UpdateAgent(ctx, agent.Ref{Namespace: m.Namespace, Name: m.Name}, m.YAML(), 0, dry)
			return a, "updated", err
		})
}

func (c *cli) agentListCommand() *cobra.Command {
	var p client.ListAgentsParams
	var states []string
	var priority, tier, hold string
	var all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List agents", Aliases: []string{"ls"}, Args: cobra.NoArgs,
		Example: "  symbi agent list --state Running --tier gvisor",
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			for _, s := range states {
				p.State = append(p.State, agent.State(s))
			}
			p.Priority, p.Tier, p.Hold, p.Limit = agent.Priority(priority), agent.Tier(tier), agent.Hold(hold), 500
			ns := agent.Namespace(c.namespace)
			if all {
				ns = ""
			}
			list := client.AgentList{Items: []client.Agent{}}
			for {
				page, err := conn.Agents(cmd.Context(), ns, p)
				if err != nil {
					return err
				}
				list.Items = append(list.Items, page.Items...)
				if p.Cursor = page.NextCursor; p.Cursor == "" {
					break
				}
			}
			return c.show(list, func(w io.Writer) { agentTable(w, list.Items) })
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&states, "state", nil, "only in these states")
	f.StringVar(&p.Owner, "owner", "", "only of this principal")
	f.StringVar(&priority, "priority", "", "only of this priority")
	f.StringVar(&tier, "tier", "", "only of this tier")
	f.StringVar(&hold, "hold", "", "only under this hold")
	f.BoolVar(&p.Dead, "dead", false, "terminated ones too")
	f.BoolVarP(&all, "all-namespaces", "A", false, "in all namespaces")
	c.addOutputFlag(cmd)
	return cmd
}

func agentTable(w io.Writer, agents []client.Agent) {
	row(w, "NAME", "STATE", "HOLDS", "ACTIVE", "WAITING", "TIER", "PRIORITY", "OWNER", "AGE")
	for _, a := range agents {
		row(w, a.Name, stateOf(a), holds(a.Holds), a.ActiveTasks, a.WaitingTasks, dash(a.Tier), a.Priority, a.Owner, age(a.CreatedAt))
	}
}

func stateOf(a client.Agent) string {
	if a.Terminating && a.State != agent.Terminated {
		return string(a.State) + " (terminating)"
	}
	return string(a.State)
}

func holds(h []agent.Hold) string {
	words := make([]string, len(h))
	for i, hold := range h {
		words[i] = string(hold)
	}
	return dash(strings.Join(words, ","))
}

func (c *cli) agentGetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get NAME", Short: "Show an agent", Args: cobra.ExactArgs(1), Example: "  symbi agent get strike-report -o yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			a, err := conn.Agent(cmd.Context(), c.ref(args[0]))
			if err != nil {
				return err
			}
			return c.show(a, func(w io.Writer) { agentSheet(w, a) })
		},
	}
	c.addOutputFlag(cmd)
	return cmd
}

func agentSheet(w io.Writer, a client.Agent) {
	row(w, "name", a.Namespace+"/"+a.Name)
	row(w, "state", stateOf(a))
	row(w, "holds", holds(a.Holds))
	row(w, "tasks", fmt.Sprintf("%d active, %d waiting", a.ActiveTasks, a.WaitingTasks))
	row(w, "owner", a.Owner)
	row(w, "priority", a.Priority)
	row(w, "tier", dash(a.Tier))
	row(w, "manifest", fmt.Sprintf("version %d", a.ManifestVersion))
	row(w, "generation", a.Generation)
	row(w, "created", a.CreatedAt.Local().Format(time.DateTime))
	if a.Failure.Cause != "" {
		row(w, "failed", string(a.Failure.Class)+"/"+string(a.Failure.Code)+": "+a.Failure.Cause)
		row(w, "do next", a.Failure.NextStep)
	}
}

func (c *cli) agentHistoryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "history NAME", Short: "Show an agent's transitions with their causes", Args: cobra.ExactArgs(1),
		Example: "  symbi agent history strike-report",
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			list := client.TransitionList{Items: []client.Transition{}}
			for cursor := ""; ; {
				page, err := conn.History(cmd.Context(), c.ref(args[0]), cursor)
				if err != nil {
					return err
				}
				list.Items = append(list.Items, page.Items...)
				if cursor = page.NextCursor; cursor == "" {
					break
				}
			}
			return c.show(list, func(w io.Writer) {
				row(w, "#", "AT", "FROM", "TO", "BY", "CAUSE")
				for _, t := range list.Items {
					row(w, t.Number, t.At.Local().Format("15:04:05.000"), t.From, t.To, t.Principal, t.Cause)
				}
			})
		},
	}
	c.addOutputFlag(cmd)
	return cmd
}

// steerCommand makes suspend, resume and terminate.
func (c *cli) steerCommand(verb, short string, do func(*client.Conn, context.Context, agent.Ref, string) (client.Agent, error)) *cobra.Command {
	var reason string
	var wait bool
	cmd := &cobra.Command{
		Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1),
		Example: "  symbi agent " + verb + " strike-report --reason 'look closer' --wait",
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			ref := c.ref(args[0])
			a, err := do(conn, cmd.Context(), ref, reason)
			if err == nil && wait {
				a, err = c.awaitSettled(cmd.Context(), conn, ref, verb)
			}
			if err != nil {
				return err
			}
			return c.show(a, func(w io.Writer) { fmt.Fprintf(w, "agent %s/%s is %s\n", a.Namespace, a.Name, stateOf(a)+heldBack(a)) })
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the agent's history")
	cmd.Flags().BoolVar(&wait, "wait", false, "until its tasks have done so too")
	c.addOutputFlag(cmd)
	return cmd
}

// heldBack says what a hold means for an agent that has nothing to do.
func heldBack(a client.Agent) string {
	if a.State != agent.Ready || len(a.Holds) == 0 {
		return ""
	}
	return fmt.Sprintf(", and held: its next task waits until `symbi agent resume %s`", a.Name)
}

// settleEvery is how often awaitSettled looks.
const settleEvery = 100 * time.Millisecond

// awaitSettled waits until an agent's tasks are as the command wants them:
// frozen, going on, or over.
func (c *cli) awaitSettled(ctx context.Context, conn *client.Conn, ref agent.Ref, verb string) (client.Agent, error) {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		a, err := conn.Agent(ctx, ref)
		if err != nil {
			return a, err
		}
		tasks, err := conn.AgentTasks(ctx, ref, client.ListAgentTasksParams{State: unsettled[verb], Limit: 1})
		if err != nil || len(tasks.Items) == 0 && (verb != "terminate" || a.State == agent.Terminated) {
			return a, err
		}
		select {
		case <-ctx.Done():
			return a, ctx.Err()
		case <-tick.C:
		}
	}
}

// unsettled are the states in which a task has not yet followed a command.
var unsettled = map[string][]agent.TaskState{
	"suspend":   {agent.TaskStarting, agent.TaskRunning},
	"resume":    {agent.TaskSuspended, agent.TaskHeld},
	"terminate": {agent.TaskRunning, agent.TaskStarting, agent.TaskSuspended, agent.TaskStopping},
}
