package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/client"
)

func (c *cli) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show agents, tasks, nodes, the queue and recent errors", Args: cobra.NoArgs, Example: "  symbi status",
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			s, err := conn.Status(cmd.Context())
			if err != nil {
				return err
			}
			return c.show(s, func(w io.Writer) { statusSheet(w, s) })
		},
	}
	c.addOutputFlag(cmd)
	return cmd
}

func statusSheet(w io.Writer, s client.Status) {
	row(w, "version", s.Version)
	row(w, "installation", s.Installation)
	row(w, "agents", counts(s.Agents, agent.States))
	row(w, "tasks", counts(s.Tasks, agent.TaskStates))
	for _, n := range s.Nodes {
		alive := "alive"
		if !n.Alive {
			alive = "silent since " + n.ReportedAt.Local().Format(time.TimeOnly)
		}
		row(w, "node "+n.Id, fmt.Sprintf("%s, %d tasks, memory %d of %d MB, CPU %g of %g cores, tiers %v",
			alive, n.Tasks, n.MemoryUsedMb, n.MemoryMb, n.CpuUsedCores, n.CpuCores, n.Tiers))
		for _, p := range n.Problems {
			row(w, "", "problem: "+p)
		}
	}
	row(w, "queue", fmt.Sprintf("%d", len(s.Queue)))
	for _, q := range s.Queue {
		row(w, "", fmt.Sprintf("%s of %s (%s) for %s: %s", q.Task, q.Agent, q.Priority, age(q.Since), q.Why))
	}
	row(w, "recent errors", fmt.Sprintf("%d", len(s.RecentErrors)))
	for _, e := range s.RecentErrors {
		row(w, "", fmt.Sprintf("%s ago  %s %s  %s/%s: %s", age(e.At), e.Agent, e.Task, e.Failure.Class, e.Failure.Code, e.Failure.Cause))
	}
}

// counts writes how many there are of each state, in the order of life.
func counts[S ~string](n map[string]int64, order []S) string {
	var parts []string
	for _, s := range order {
		if n[string(s)] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[string(s)], s))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
