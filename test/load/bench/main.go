// Command bench measures the figures that the requirements name, each beside
// the raw engine beneath it in the same run, and writes them to
// docs/benchmarks/. `make bench ONLY=start,submit.ratio` runs some.
//
// Every figure is printed as one line of JSON. A figure that misses its goal is
// reported as such and is no error; a measurement that went wrong is.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
)

// benchmark measures figures that belong together.
type benchmark struct {
	figures []string // the names it gives
	soak    bool     // runs only when it is named
	run     func(ctx context.Context, b *bench) error
}

// benchmarks is all there is, by group.
var benchmarks = map[string]benchmark{
	"dev":    {figures: []string{"dev.ready_s"}, run: devReady},
	"submit": {figures: []string{"submit.ratio", "submit.per_s"}, run: submit},
	"start": {figures: []string{"start.cold_gvisor_p50_ms", "start.cold_gvisor_p95_ms", "start.cold_gvisor_ratio",
		"start.cold_python_p50_ms", "start.cold_python_p95_ms"}, run: coldStart},
	"agents": {figures: []string{"agents.heap_kb", "agents.idle_cpu_percent", "agents.suspend_all_s", "agents.resume_all_s",
		"dev.ready_10k_s"}, run: manyAgents},
	"tasks": {figures: []string{"tasks.per_s"}, run: tasksPerSecond},
	"bare":  {figures: []string{"tasks.bare_per_s", "tasks.bare_ratio", "tasks.bare_local_ratio"}, run: bareTasks},
}

func main() {
	only := flag.String("only", "", "names of figures or their groups, with commas between them; empty is all")
	out := flag.String("out", "docs/benchmarks/results.jsonl", "where the figures are kept")
	binary := flag.String("symbi", "bin/symbi", "the binary that is measured")
	agents := flag.Int("agents", 10_000, "how many agents stand for many")
	profile := flag.String("profile", "", "a file for the CPU profile of what runs in this process")
	flag.Parse()
	stopProfile, err := startProfile(*profile)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err = run(ctx, &bench{only: split(*only), out: *out, binary: *binary, agents: *agents})
	stopProfile()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// startProfile writes a CPU profile until it is stopped.
func startProfile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}

func run(ctx context.Context, b *bench) error {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	for _, name := range b.only {
		if !known(name) {
			return fmt.Errorf("there is no figure or group %q; there are %s", name, strings.Join(names(), ", "))
		}
	}
	for group, bm := range benchmarksInOrder() {
		if !b.wants(group, bm) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s\n", group)
		if err := bm.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", group, err)
		}
	}
	if len(b.missed) > 0 {
		fmt.Fprintf(os.Stderr, "bench: goals missed: %s\n", strings.Join(b.missed, ", "))
	}
	return nil
}

// wants reports whether a group is to be measured.
func (b *bench) wants(group string, bm benchmark) bool {
	if len(b.only) == 0 {
		return !bm.soak
	}
	return slices.ContainsFunc(b.only, func(name string) bool {
		return name == group || slices.Contains(bm.figures, name)
	})
}

func known(name string) bool {
	for group, bm := range benchmarks {
		if name == group || slices.Contains(bm.figures, name) {
			return true
		}
	}
	return false
}

func names() []string {
	var all []string
	for _, bm := range benchmarks {
		all = append(all, bm.figures...)
	}
	slices.Sort(all)
	return all
}

func benchmarksInOrder() func(yield func(string, benchmark) bool) {
	groups := make([]string, 0, len(benchmarks))
	for group := range benchmarks {
		groups = append(groups, group)
	}
	slices.Sort(groups)
	return func(yield func(string, benchmark) bool) {
		for _, group := range groups {
			if !yield(group, benchmarks[group]) {
				return
			}
		}
	}
}

func split(s string) []string {
	return slices.DeleteFunc(strings.Split(s, ","), func(s string) bool { return s == "" })
}
