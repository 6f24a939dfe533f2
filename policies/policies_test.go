package policies_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	rego "github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/tester"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/policy"
	"symbi.dev/symbi/policies"
)

func TestDefaultRulesPassTheStrictCheckAgainstTheirSchemas(t *testing.T) {
	t.Parallel()
	if _, err := policy.Check(policies.Modules(), policies.Schemas()); err != nil {
		t.Fatal(err)
	}
}

func TestAMisspeltFieldFailsTheCheck(t *testing.T) {
	t.Parallel()
	for right, wrong := range map[string]string{
		"input.principal.id ==":              "input.principal.name ==",
		"input.resource.manifest.name ==":    "input.resource.manifest.nmae ==",
		"strength[input.resource.tier]":      "strength[input.resource.teir]",
		"input.principal.kind in {\"admin\"": "input.principle.kind in {\"admin\"",
	} {
		modules, found := policies.Modules(), false
		for name, text := range modules {
			found = found || strings.Contains(text, right)
			modules[name] = strings.Replace(text, right, wrong, 1)
		}
		if !found {
			t.Fatalf("no rule has %q any more; choose another field to misspell", right)
		}
		_, err := policy.Check(modules, policies.Schemas())
		if err == nil || !strings.Contains(err.Error(), "rego_type_error") {
			t.Errorf("%q instead of %q: got %v, want a type error", wrong, right, err)
		}
	}
}

func TestRegoTestsPassAndReachEveryLineOfTheDefaultRules(t *testing.T) {
	t.Parallel()
	modules := parse(t, policies.Modules())
	all := parse(t, policies.Tests())
	if len(all) < 2 {
		t.Fatalf("%d files of Rego tests", len(all))
	}
	maps.Copy(all, modules)
	coverage := cover.New()
	results, err := tester.NewRunner().SetModules(all).SetCoverageQueryTracer(coverage).RaiseBuiltinErrors(true).RunTests(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for r := range results {
		ran++
		if !r.Pass() {
			t.Errorf("%s: %s fails (%v)", r.Location, r.Name, r.Error)
		}
	}
	if ran < 6 {
		t.Errorf("only %d Rego tests ran", ran)
	}
	if report := coverage.Report(modules); report.Coverage < 100 {
		for name, file := range report.Files {
			t.Logf("%s: not reached: %v", name, file.NotCovered)
		}
		t.Errorf("Rego tests reach %.1f %% of the lines, want all", report.Coverage)
	}
}

func parse(t *testing.T, texts map[string]string) map[string]*rego.Module {
	t.Helper()
	out := map[string]*rego.Module{}
	for name, text := range texts {
		m, err := rego.ParseModule(name, text)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = m
	}
	return out
}

func TestEveryActionHasASchemaAndARuleThatAllowsItToSomebody(t *testing.T) {
	t.Parallel()
	engine, err := policy.New(t.Context(), policy.Config{Deadline: patience})
	if err != nil {
		t.Fatal(err)
	}
	actions := declaredActions(t)
	for _, action := range append(actions, policies.ActResourceRequest) {
		if _, ok := policies.Schemas()[action]; !ok {
			t.Errorf("%s has no schema; name its facts in facts.go", action)
		}
		d := engine.Decide(context.Background(), policy.Input{
			Principal: agent.PrincipalAdmin, Action: action, Resource: plausible,
		})
		if !d.Allowed() {
			t.Errorf("%s is denied to the administrator: %s", action, d.Reason)
		}
		if len(d.Rules) != 1 || d.Rules[0] != "default/"+string(action) {
			t.Errorf("%s is allowed by %v, want a rule of its own", action, d.Rules)
		}
	}
}

// plausible is a resource that no rule objects to, whatever is done to it.
var plausible = map[string]any{
	"namespace": "default", "name": "a", "agent": "a", "tier": "gvisor", "min_tier": "docker",
	"manifest": map[string]any{"namespace": "default", "name": "a"},
}

// declaredActions reads the actions that package agent declares.
func declaredActions(t *testing.T) []agent.Action {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../agent/action.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []agent.Action
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Act") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, agent.Action(value))
		return true
	})
	if len(out) < 13 || slices.Contains(out, "") {
		t.Fatalf("found the actions %v", out)
	}
	return out
}
