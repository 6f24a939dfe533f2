package policy_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/policy"
	"symbi.dev/symbi/policies"
)

// patience is a deadline that no pause of a busy machine reaches.
const patience = time.Minute

// engine has the default rules, or those given.
func engine(t testing.TB, cfg policy.Config) *policy.Engine {
	t.Helper()
	if cfg.Deadline == 0 {
		cfg.Deadline = patience
	}
	e, err := policy.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// rules is a policy of one module.
func rules(text string) map[string]string {
	return map[string]string{"rules.rego": "package symbi.authz\n" + text}
}

func TestDecideAnswersByTheDefaultRules(t *testing.T) {
	t.Parallel()
	e := engine(t, policy.Config{})
	thing := map[string]any{"namespace": "default", "name": "a", "agent": "a"}
	run := map[string]any{"namespace": "default", "name": "t", "tier": agent.TierDocker, "min_tier": agent.TierGVisor}
	for name, c := range map[string]struct {
		in     policy.Input
		want   agent.Verdict
		rule   string
		reason string
	}{
		"the administrator suspends": {
			policy.Input{Principal: agent.PrincipalAdmin, Action: agent.ActAgentSuspend, Resource: thing}, agent.Allow, "default/agent.suspend", ""},
		"a bare signal suspends": {
			policy.Input{Principal: agent.PrincipalTemporalUI, Action: agent.ActAgentSuspend, Resource: thing}, agent.Allow, "default/agent.suspend", ""},
		"a bare signal submits nothing": {
			policy.Input{Principal: agent.PrincipalTemporalUI, Action: agent.ActTaskSubmit, Resource: thing}, agent.Deny, "", "no rule allows temporal-ui to do task.submit"},
		"a stranger reads nothing": {
			policy.Input{Principal: agent.PrincipalAnonymous, Action: agent.ActLogRead, Resource: thing}, agent.Deny, "", "no rule allows anonymous to do log.read"},
		"nobody does nothing": {
			policy.Input{Action: agent.ActAgentCreate}, agent.Deny, "", ""},
		"a node starts a sandbox": {
			policy.Input{Principal: "node:a", Action: agent.ActSandboxStart, Resource: map[string]any{"tier": "gvisor"}}, agent.Allow, "default/sandbox.start", ""},
		"a weaker tier than asked for": {
			policy.Input{Principal: agent.PrincipalRuntime, Action: agent.ActTaskRun, Resource: run}, agent.Deny, "default/task.run-tier", "the sandbox tier is not stated, or weaker than the manifest's min_tier"},
		"facts as a struct": {
			policy.Input{Principal: agent.PrincipalRuntime, Action: agent.ActTaskRun, Resource: policies.RunFacts{Tier: agent.TierGVisor, MinTier: agent.TierGVisor}}, agent.Allow, "default/task.run", ""},
		"an action that nobody knows": {
			policy.Input{Principal: agent.PrincipalAdmin, Action: "agent.praise", Resource: thing}, agent.Deny, "", "no rule allows admin to do agent.praise"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := e.Decide(t.Context(), c.in)
			if d.Verdict != c.want || d.Revision != e.Revision() {
				t.Errorf("got %+v", d)
			}
			if c.rule != "" && (len(d.Rules) != 1 || d.Rules[0] != c.rule) {
				t.Errorf("rules %v, want %s", d.Rules, c.rule)
			}
			if c.reason != "" && d.Reason != c.reason {
				t.Errorf("reason %q, want %q", d.Reason, c.reason)
			}
		})
	}
}

func TestADenyOutweighsEveryAllow(t *testing.T) {
	t.Parallel()
	e := engine(t, policy.Config{Modules: rules(`
		allow contains "a" if input.action == "task.run"
		allow contains "b" if input.action == "task.run"
		deny contains {"rule": "z", "reason": "later"} if input.principal.id == "x"
		deny contains {"rule": "y", "reason": "because"} if input.principal.id == "x"`)})
	d := e.Decide(t.Context(), policy.Input{Principal: "x", Action: agent.ActTaskRun})
	if d.Allowed() || d.Reason != "because" || strings.Join(d.Rules, " ") != "y z" {
		t.Errorf("got %+v", d)
	}
	d = e.Decide(t.Context(), policy.Input{Principal: "w", Action: agent.ActTaskRun})
	if !d.Allowed() || strings.Join(d.Rules, " ") != "a b" {
		t.Errorf("got %+v", d)
	}
}

func TestAConditionBindsWhoeverEnforcesItAndDeniesAllOthers(t *testing.T) {
	t.Parallel()
	e := engine(t, policy.Config{Modules: rules(`
		allow contains "a" if input.action == "task.run"
		conditions contains {"kind": "max_runtime", "args": {"seconds": 60}} if input.action == "task.run"
		conditions contains {"kind": "audit_level"} if input.principal.id == "x"`)})
	ask := policy.Input{Principal: "x", Action: agent.ActTaskRun, Enforces: []string{"audit_level", "max_runtime"}}
	d := e.Decide(t.Context(), ask)
	if !d.Allowed() || len(d.Conditions) != 2 {
		t.Fatalf("got %+v", d)
	}
	if kinds := policy.Unenforced(d, []string{"audit_level"}); len(kinds) != 1 || kinds[0] != "max_runtime" {
		t.Errorf("not enforced: %v", kinds)
	}
	for _, c := range d.Conditions {
		if c.Kind == "max_runtime" && c.Args["seconds"] == nil {
			t.Errorf("the condition lost its arguments: %v", c)
		}
	}
	ask.Enforces = []string{"audit_level"}
	d = e.Decide(t.Context(), ask)
	if d.Allowed() || !strings.Contains(d.Reason, `"max_runtime"`) {
		t.Errorf("got %+v", d)
	}
}

func TestWhatCannotBeEvaluatedIsDenied(t *testing.T) {
	t.Parallel()
	const all = `allow contains "a" if input.action == "task.run"` + "\n"
	deep := any("bottom")
	for range 100 {
		deep = []any{deep}
	}
	gone, leave := context.WithCancel(context.Background())
	leave()
	for name, c := range map[string]struct {
		rules    string
		resource any
		deadline time.Duration
		ctx      context.Context
		reason   string
	}{
		"a built-in function fails":      {rules: `deny contains {"rule": "x", "reason": "y"} if to_number(input.principal.id) > 1`, reason: "to_number"},
		"a rule allows without an id":    {rules: `allow contains 7`, reason: "say its id"},
		"a rule denies without a reason": {rules: `deny contains "no"`, reason: "a rule denies with"},
		"a condition without a kind":     {rules: `conditions contains {"args": {}}`, reason: "a rule demands"},
		"a condition with odd arguments": {rules: `conditions contains {"kind": "k", "args": 1}`, reason: "no object"},
		"deny is no set":                 {rules: `deny := true`, reason: "is no set"},
		"the deadline passes": {rules: `deny contains {"rule": "x", "reason": "y"} if {
				some i in numbers.range(1, 100000)
				some j in numbers.range(1, 100000)
				i * j == -1
			}`, deadline: time.Millisecond, reason: "took longer than 1ms"},
		"the asker has gone": {rules: `deny contains {"rule": "x", "reason": "y"} if {
				some i in numbers.range(1, 100000)
				some j in numbers.range(1, 100000)
				i * j == -1
			}`, ctx: gone, reason: "the asker went away"},
		"a large text":          {resource: map[string]any{"name": strings.Repeat("a", policy.DefaultMaxInputBytes)}, reason: "more than 1024 KiB"},
		"a large struct":        {resource: struct{ A []byte }{make([]byte, policy.DefaultMaxInputBytes)}, reason: "more than 1024 KiB"},
		"many values":           {resource: make([]any, 100_000), reason: "more than 1024 KiB"},
		"deeply nested":         {resource: deep, reason: "nested more than"},
		"what JSON cannot say":  {resource: func() {}, reason: "cannot be written"},
		"a number that is none": {resource: map[string]any{"risk": math.NaN()}, reason: "a number that is none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := engine(t, policy.Config{Modules: rules(all + c.rules), Deadline: c.deadline})
			ctx := t.Context()
			if c.ctx != nil {
				ctx = c.ctx
			}
			d := e.Decide(ctx, policy.Input{Principal: "me", Action: agent.ActTaskRun, Resource: c.resource})
			if d.Allowed() || !strings.HasPrefix(d.Reason, "policy could not be evaluated: ") || !strings.Contains(d.Reason, c.reason) {
				t.Errorf("got %+v, want a refusal because %q", d, c.reason)
			}
		})
	}
}

func TestRulesThatCannotBeRightAreRefusedAndTheOldOnesStay(t *testing.T) {
	t.Parallel()
	e := engine(t, policy.Config{})
	before := e.Revision()
	for name, text := range map[string]string{
		"no Rego":             `allow contains`,
		"an unused variable":  `allow contains "a" if { x := 1 }`,
		"an unknown function": `allow contains "a" if frobnicate(input)`,
		"the network":         `allow contains "a" if http.send({"method": "get", "url": "http://localhost"}).status_code == 200`,
		"names of hosts":      `allow contains "a" if count(net.lookup_ip_addr("localhost")) > 0`,
		"the environment":     `allow contains "a" if opa.runtime().env.HOME`,
		"the time":            `allow contains "a" if time.now_ns() > 0`,
		"a schema that is not there": `
# METADATA
# schemas:
#   - input: schema["agent.praise"]
allow contains "a" if input.action == "agent.praise"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := e.Load(t.Context(), rules(text))
			if !errors.Is(err, agent.ErrInvalid) {
				t.Errorf("got %v, want it refused as invalid", err)
			}
			if e.Revision() != before {
				t.Error("the rules changed")
			}
		})
	}
}

func TestARevisionIsNamedByTheContentOfItsRules(t *testing.T) {
	t.Parallel()
	one, same := engine(t, policy.Config{}), engine(t, policy.Config{})
	if one.Revision() != same.Revision() || len(one.Revision()) != 64 {
		t.Errorf("the same rules are %q and %q", one.Revision(), same.Revision())
	}
	if err := one.Load(t.Context(), rules(`allow contains "a"`)); err != nil {
		t.Fatal(err)
	}
	if one.Revision() == same.Revision() {
		t.Error("other rules have the same revision")
	}
}

// Each revision allows one principal only; a decision that mixed two revisions
// would name one and follow the other.
func TestADecisionIsOfOneRevisionWhileRulesChange(t *testing.T) {
	t.Parallel()
	sets := []map[string]string{
		rules(`allow contains "one" if input.principal.id == "a"`),
		rules(`allow contains "two" if input.principal.id == "b"`),
	}
	e := engine(t, policy.Config{Modules: sets[0]})
	first := e.Revision()
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				d := e.Decide(context.Background(), policy.Input{Principal: "a", Action: agent.ActTaskRun})
				if d.Allowed() != (d.Revision == first) {
					t.Errorf("revision %s says %s", d.Revision, d.Verdict)
					return
				}
			}
		})
	}
	for i := range 40 {
		if err := e.Load(t.Context(), sets[(i+1)%2]); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	asking.Wait()
}
