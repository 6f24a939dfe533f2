package audit

import (
	"sync"

	"symbi.dev/symbi/agent"
)

// seenKey is one sort of gathered event.
type seenKey struct {
	action    agent.Action
	principal agent.Principal
	namespace agent.Namespace
	agent     agent.Name
	resource  string
	source    string
	outcome   string
}

// gathering counts reads and failed logins by sort. It is bounded: beyond
// gatherSorts the rest are counted together.
type gathering struct {
	mu      sync.Mutex
	counts  map[seenKey]int
	dropped int
}

func (g *gathering) count(e Event) {
	key := seenKey{
		action: e.Action, principal: e.Principal, namespace: e.Namespace, agent: e.Agent,
		resource: e.Resource, source: e.Source, outcome: "ok",
	}
	if e.Decision != nil && !e.Decision.Allowed() || e.Principal == agent.PrincipalAnonymous {
		key.outcome = "denied"
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.counts[key]; !known && len(g.counts) >= gatherSorts {
		g.dropped++
		return
	}
	g.counts[key]++
}

// take gives what was counted and begins anew.
func (g *gathering) take() (map[seenKey]int, int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	counts, dropped := g.counts, g.dropped
	g.counts, g.dropped = map[seenKey]int{}, 0
	return counts, dropped
}
