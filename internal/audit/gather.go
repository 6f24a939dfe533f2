package audit

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"symbi.dev/symbi/agent"
)

// gathering counts reads and failed logins by sort. It is bounded: beyond
// gatherSorts the rest are counted by action alone.
type gathering struct {
	mu     sync.Mutex
	counts map[sort]*tally
}

// sort is what the events have in common that are counted together.
type sort struct {
	action    agent.Action
	principal agent.Principal
	namespace agent.Namespace
	agent     agent.Name
	resource  string
	source    string
	outcome   string
}

// others stands for the sources and principals that were too many.
const others = "others"

// tally is how many there were, and when.
type tally struct {
	count       int64
	first, last time.Time
}

// gathered is a sort with its tally.
type gathered struct {
	sort
	tally
}

func (g *gathering) count(e Event, at time.Time) {
	s := sort{
		action: e.Action, principal: e.Principal, namespace: e.Namespace, agent: e.Agent,
		resource: e.Resource, source: e.Source, outcome: wordOK,
	}
	if e.Decision != nil && !e.Decision.Allowed() || e.Principal == agent.PrincipalAnonymous {
		s.outcome = wordDenied
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.add(gathered{s, tally{1, at, at}})
}

// add counts. The lock is held.
func (g *gathering) add(more gathered) {
	if g.counts == nil {
		g.counts = map[sort]*tally{}
	}
	t := g.counts[more.sort]
	if t == nil && len(g.counts) >= gatherSorts {
		more.sort = sort{action: more.action, principal: others, source: others, outcome: more.outcome}
		t = g.counts[more.sort]
	}
	if t == nil {
		g.counts[more.sort] = &tally{more.count, more.first, more.last}
		return
	}
	t.count += more.count
	if more.first.Before(t.first) {
		t.first = more.first
	}
	if more.last.After(t.last) {
		t.last = more.last
	}
}

// take gives what was counted, the earliest first, and begins anew.
func (g *gathering) take() []gathered {
	g.mu.Lock()
	counts := g.counts
	g.counts = nil
	g.mu.Unlock()
	out := make([]gathered, 0, len(counts))
	for s, t := range counts {
		out = append(out, gathered{s, *t})
	}
	slices.SortFunc(out, func(a, b gathered) int {
		return cmp.Or(a.first.Compare(b.first), cmp.Compare(a.source, b.source), cmp.Compare(a.resource, b.resource))
	})
	return out
}

// putBack counts again what could not be written.
func (g *gathering) putBack(sorts []gathered) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range sorts {
		g.add(s)
	}
}

// event is what is written of a sort.
func (s gathered) event() Event {
	return Event{
		Action: s.action, Principal: s.principal, Namespace: s.namespace, Agent: s.agent, Resource: s.resource, Source: s.source,
		Details: Details{"count": s.count, "first": s.first, "last": s.last},
	}
}
