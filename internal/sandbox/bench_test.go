package sandbox

import (
	"slices"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/tasklog"
)

// BenchmarkColdStart measures from Start to the first log line at a follower,
// beside an engine that creates and starts the same image and tier with
// nothing of ours, and shows what the parts take.
func BenchmarkColdStart(b *testing.B) {
	for _, tier := range []agent.Tier{agent.TierDocker, agent.TierGVisor} {
		b.Run(string(tier), func(b *testing.B) {
			var parts [6][]time.Duration
			for b.Loop() {
				bare := bareStart(b, tier)
				begin := time.Now()
				s := command(tier, "symbi/base:1", "/bin/echo", "hello")
				s.Resources.CPUCores = 2
				sb, err := node.Start(b.Context(), s)
				if err != nil {
					b.Fatal(err)
				}
				returned := time.Since(begin)
				if _, err := tasklog.NewReader(sb.LogReader(b.Context(), 0), 0).Read(); err != nil {
					b.Fatal(err)
				}
				line := time.Since(begin)
				prepared := sb.rec.LaunchedAt.Sub(begin)
				if _, err := sb.Wait(b.Context()); err != nil {
					b.Fatal(err)
				}
				over := time.Since(begin)
				if err := sb.Remove(b.Context()); err != nil {
					b.Fatal(err)
				}
				for i, d := range []time.Duration{bare, prepared, returned, line, over, time.Since(begin)} {
					parts[i] = append(parts[i], d)
				}
			}
			for i, name := range []string{"bare-create+start", "prepared", "returned", "first-line", "over", "removed"} {
				slices.Sort(parts[i])
				b.ReportMetric(float64(parts[i][len(parts[i])/2].Microseconds())/1000, name+"-p50-ms")
			}
		})
	}
}

// bareStart is how long the engine alone takes to create and start a container.
func bareStart(b *testing.B, tier agent.Tier) time.Duration {
	b.Helper()
	begin := time.Now()
	r, err := node.engine.ContainerCreate(b.Context(), &container.Config{Image: "symbi/base:1", Cmd: []string{"/bin/echo", "hello"}},
		&container.HostConfig{Runtime: node.cfg.Runtimes[tier], NetworkMode: "none", LogConfig: container.LogConfig{Type: "none"}}, nil, nil, "")
	if err != nil {
		b.Fatal(err)
	}
	if err := node.engine.ContainerStart(b.Context(), r.ID, container.StartOptions{}); err != nil {
		b.Fatal(err)
	}
	took := time.Since(begin)
	if err := node.engine.ContainerRemove(b.Context(), r.ID, removeOptions); err != nil {
		b.Fatal(err)
	}
	return took
}
