package scheduler

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func node(id agent.NodeID, memoryMB int64, cpu float64) store.Node {
	return store.Node{
		ID: id, MemoryMB: memoryMB, CPUCores: cpu, DiskMB: 10_000,
		Tiers: []agent.Tier{agent.TierDocker, agent.TierGVisor}, ReportedAt: now,
	}
}

func lease(id agent.LeaseID, memoryMB int64, cpu float64) store.Lease {
	return store.Lease{ID: id, Tier: agent.TierGVisor, ScratchMB: 10, Resources: agent.Resources{MemoryMB: memoryMB, CPUCores: cpu}}
}

func bookOf(nodes ...store.Node) *Book {
	b := NewBook()
	b.SetNodes(nodes)
	return b
}

func TestPlaceTakesTheLeastLoadedNodeThatFits(t *testing.T) {
	t.Parallel()
	b := bookOf(node("a", 1000, 4), node("b", 1000, 4), node("c", 100, 4))
	held := lease("held", 500, 1)
	held.Node = "a"
	b.Take(held)
	if got, ok := b.Place(lease("x", 200, 1), now); !ok || got != "b" {
		t.Errorf("placed on %q, want b", got)
	}
	if got, ok := b.Place(lease("x", 700, 1), now); !ok || got != "b" {
		t.Errorf("placed on %q, want b, the only one that fits", got)
	}
	if got, ok := b.Place(lease("x", 1001, 1), now); ok {
		t.Errorf("placed on %q, want nowhere", got)
	}
}

func TestPlacePassesByNodesThatCannotTakeWork(t *testing.T) {
	t.Parallel()
	silent := node("silent", 1000, 4)
	silent.ReportedAt = now.Add(-nodeSilence)
	cordoned := node("cordoned", 1000, 4)
	cordoned.Cordoned = true
	plain := node("plain", 1000, 4)
	plain.Tiers = []agent.Tier{agent.TierDocker}
	plain.Problems = []string{"gVisor is missing: run deploy/setup.sh"}
	b := bookOf(silent, cordoned, plain)
	if got, ok := b.Place(lease("x", 1, 1), now); ok {
		t.Errorf("placed on %q, want nowhere", got)
	}
	if why := b.Why(lease("x", 1, 1), now); !strings.Contains(why, "gVisor is missing") && !strings.Contains(why, "cordoned") {
		t.Errorf("why: %q", why)
	}
}

func TestWhySaysWhatIsMissingAndWhereMostIsFree(t *testing.T) {
	t.Parallel()
	b := bookOf(node("a", 2048, 4), node("b", 1024, 4))
	if why := b.Why(lease("x", 4096, 1), now); why != "needs 4096 MB of memory, most free is 2048 MB on node a" {
		t.Errorf("why: %q", why)
	}
	if why := b.Why(lease("x", 1, 8), now); !strings.Contains(why, "8 cores of CPU") {
		t.Errorf("why: %q", why)
	}
	if why := NewBook().Why(lease("x", 1, 1), now); !strings.Contains(why, "symbi worker") {
		t.Errorf("why: %q", why)
	}
}

func TestWhatNoNodeCouldEverHoldIsAFailure(t *testing.T) {
	t.Parallel()
	b := bookOf(node("a", 2048, 4))
	if f := b.Never(lease("x", 4096, 1)); f == nil || f.Code != agent.CodeNoCapacity {
		t.Errorf("got %v", f)
	}
	full := lease("full", 2048, 4)
	full.Node = "a"
	b.Take(full)
	if f := b.Never(lease("x", 2048, 4)); f != nil {
		t.Errorf("a busy node is no reason to fail: %v", f)
	}
	if f := NewBook().Never(lease("x", 4096, 1)); f != nil {
		t.Errorf("before any node has reported nothing is impossible: %v", f)
	}
}

func TestTheBookNeverGrantsMoreThanANodeHas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := bookOf(node("a", 1000, 2), node("b", 700, 3))
		held := map[agent.LeaseID]store.Lease{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			id := agent.LeaseID(rapid.StringMatching(`[a-h]`).Draw(t, "lease"))
			if rapid.Bool().Draw(t, "free") {
				b.Free(id)
				delete(held, id)
				continue
			}
			if _, again := held[id]; again {
				continue
			}
			l := lease(id, rapid.Int64Range(1, 600).Draw(t, "memory"), float64(rapid.IntRange(1, 20).Draw(t, "tenths"))/10)
			if n, ok := b.Place(l, now); ok {
				l.Node = n
				b.Take(l)
				b.Take(l)
				held[id] = l
			}
		}
		for id, e := range b.nodes {
			var used amount
			for _, l := range held {
				if l.Node == id {
					used = used.plus(wants(l))
				}
			}
			if used != e.used || !used.fitsIn(capacity(e.Node)) {
				t.Fatalf("node %s: the book says %+v, granted are %+v, capacity %+v", id, e.used, used, capacity(e.Node))
			}
		}
	})
}

func BenchmarkPlaceAmong100Nodes(b *testing.B) {
	book := NewBook()
	var nodes []store.Node
	for i := range 100 {
		nodes = append(nodes, node(agent.NodeID("n"+string(rune('a'+i%26))+string(rune('a'+i/26))), 64_000, 64))
	}
	book.SetNodes(nodes)
	l := lease("x", 512, 1)
	for b.Loop() {
		if _, ok := book.Place(l, now); !ok {
			b.Fatal("no place")
		}
	}
}
