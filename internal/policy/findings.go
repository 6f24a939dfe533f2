package policy

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"symbi.dev/symbi/agent"
)

// findings are what the rules said of one question.
type findings struct {
	allows     []string // ids of the rules that allow it
	denies     []objection
	conditions []agent.Condition
}

// objection is a rule's reason to deny.
type objection struct{ rule, reason string }

// read takes what the query gave. A rule that says something of the wrong
// shape is an error, so that its question is denied.
func read(rs rego.ResultSet) (findings, error) {
	var f findings
	if len(rs) != 1 {
		return f, fmt.Errorf("the rules gave %d answers", len(rs))
	}
	for name, bound := range rs[0].Bindings {
		set, ok := bound.(ast.Set)
		if !ok {
			return f, fmt.Errorf("%s is no set; write `%s contains … if { … }`", name, name)
		}
		for _, term := range set.Slice() {
			if err := f.add(name, term.Value); err != nil {
				return f, err
			}
		}
	}
	return f, nil
}

func (f *findings) add(set string, v ast.Value) error {
	switch set {
	case setAllow:
		id, ok := v.(ast.String)
		if !ok {
			return fmt.Errorf("a rule allows with %v; say its id, a string", v)
		}
		f.allows = append(f.allows, string(id))
	case setDeny:
		rule, reason := field(v, "rule"), field(v, "reason")
		if rule == "" || reason == "" {
			return fmt.Errorf("a rule denies with %v; say {\"rule\": …, \"reason\": …}", v)
		}
		f.denies = append(f.denies, objection{rule, reason})
	case setConditions:
		kind := field(v, "kind")
		if kind == "" {
			return fmt.Errorf("a rule demands %v; say {\"kind\": …, \"args\": {…}}", v)
		}
		c := agent.Condition{Kind: kind}
		if args := v.(ast.Object).Get(ast.InternedTerm("args")); args != nil {
			plain, err := ast.JSON(args.Value)
			if c.Args, _ = plain.(map[string]any); err != nil || c.Args == nil {
				return fmt.Errorf("a rule demands %s with args that are no object", kind)
			}
		}
		f.conditions = append(f.conditions, c)
	}
	return nil
}

// field gives a string of an object, "" when there is none.
func field(v ast.Value, name string) string {
	o, ok := v.(ast.Object)
	if !ok {
		return ""
	}
	t := o.Get(ast.InternedTerm(name))
	if t == nil {
		return ""
	}
	s, _ := t.Value.(ast.String)
	return string(s)
}

// decide weighs what the rules said: one deny outweighs every allow, and
// without an allow there is none.
func (f findings) decide(rev *revision, in Input) agent.Decision {
	d := agent.Decision{Verdict: agent.Deny, Revision: rev.id}
	if len(f.denies) > 0 {
		slices.SortFunc(f.denies, func(a, b objection) int {
			return cmp.Or(cmp.Compare(a.rule, b.rule), cmp.Compare(a.reason, b.reason))
		})
		for _, o := range f.denies {
			d.Rules = append(d.Rules, o.rule)
		}
		d.Rules = slices.Compact(d.Rules)
		d.Reason = f.denies[0].reason
		return d
	}
	if len(f.allows) == 0 {
		d.Reason = fmt.Sprintf("no rule allows %s to do %s", named(in.Principal), in.Action)
		return d
	}
	slices.Sort(f.allows)
	d.Verdict, d.Rules, d.Conditions = agent.Allow, f.allows, f.conditions
	if kinds := Unenforced(d, in.Enforces); len(kinds) > 0 {
		d.Verdict = agent.Deny
		d.Reason = fmt.Sprintf("it is allowed on the condition %q, which nothing enforces here", kinds[0])
	}
	return d
}

func named(p agent.Principal) string {
	if p == "" {
		return "nobody"
	}
	return string(p)
}

// Unenforced lists the kinds of condition in a decision that are not among the
// known ones. Whoever acts on a decision must not when there is any.
func Unenforced(d agent.Decision, known []string) []string {
	var kinds []string
	for _, c := range d.Conditions {
		if !slices.Contains(known, c.Kind) && !slices.Contains(kinds, c.Kind) {
			kinds = append(kinds, c.Kind)
		}
	}
	return kinds
}
