package policy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/policy"
	"symbi.dev/symbi/policies"
)

// BenchmarkDecide reports the time of one decision under the default rules and
// under a thousand more. The goal is p50 ≤ 25 µs and p99 ≤ 150 µs.
func BenchmarkDecide(b *testing.B) {
	run := policy.Input{
		Principal: agent.PrincipalRuntime, Action: agent.ActTaskRun,
		Resource: map[string]any{
			"namespace": "default", "agent": "strike-report", "name": "0k7d2m9q", "owner": "admin",
			"tier": "gvisor", "min_tier": "gvisor", "risk": 0.4, "memory_mb": int64(512), "cpu_cores": 1.0,
		},
		Context: map[string]any{"request": "0198c0de-0000-7000-8000-000000000000"},
	}
	for name, c := range map[string]struct {
		rules map[string]string
		in    policy.Input
	}{
		"run":             {policies.Modules(), run},
		"run-1000-rules":  {withMore(1000), run},
		"create-manifest": {policies.Modules(), creation()},
	} {
		b.Run(name, func(b *testing.B) {
			e := engine(b, policy.Config{Modules: c.rules})
			if d := e.Decide(b.Context(), c.in); !d.Allowed() {
				b.Fatal(d.Reason)
			}
			b.ReportAllocs()
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				e.Decide(b.Context(), c.in)
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
		})
	}
}

// withMore is the default rules and n others, each about one agent.
func withMore(n int) map[string]string {
	var text strings.Builder
	text.WriteString("package symbi.authz\n")
	for i := range n {
		fmt.Fprintf(&text, "deny contains {\"rule\": \"r%d\", \"reason\": \"it is agent %d\"} if {\n\tinput.action == \"task.run\"\n\tinput.resource.agent == \"agent-%d\"\n}\n", i, i, i)
	}
	modules := policies.Modules()
	modules["more.rego"] = text.String()
	return modules
}

// creation asks about a manifest of ordinary size.
func creation() policy.Input {
	m := agent.Manifest{
		APIVersion: agent.APIVersion, Kind: agent.Kind, Name: "strike-report", Namespace: "default",
		Labels:    map[string]string{"team": "safety"},
		Program:   agent.Program{Script: &agent.Script{Language: agent.Python, Code: strings.Repeat("print(1)\n", 500)}},
		Inputs:    map[string]agent.Input{"reports": {Sensitivity: agent.Public, MediaType: "text/csv", MaxMB: 50}},
		Resources: agent.Resources{MemoryMB: 512, CPUCores: 1, DiskIOMBps: 50, ExecutionTimeout: agent.Duration(time.Minute)},
		Tasks:     agent.Tasks{MaxConcurrent: 2, Retry: agent.Retry{MaxAttempts: 3, On: agent.FailureClasses}},
	}
	var facts map[string]any
	text, err := json.Marshal(policies.ManifestFacts{
		Thing: policies.Thing{Namespace: "default", Name: "strike-report", Agent: "strike-report"}, Manifest: m,
	})
	if err == nil {
		err = json.Unmarshal(text, &facts)
	}
	if err != nil {
		panic(err)
	}
	return policy.Input{Principal: agent.PrincipalAdmin, Action: agent.ActAgentCreate, Resource: facts}
}

// BenchmarkLoad reports the time to compile the default rules, which every
// start pays.
func BenchmarkLoad(b *testing.B) {
	e := engine(b, policy.Config{})
	for b.Loop() {
		if err := e.Load(b.Context(), policies.Modules()); err != nil {
			b.Fatal(err)
		}
	}
}
