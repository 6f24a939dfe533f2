package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// Book is what every node can hold and what is held. It is not safe for
// concurrent use.
type Book struct {
	nodes  map[agent.NodeID]*entry
	grants map[agent.LeaseID]store.Lease
}

// entry is one node's page.
type entry struct {
	store.Node
	used amount
}

// amount is a quantity of each resource that placement counts.
type amount struct {
	memoryMB, diskMB int64
	milliCPU         int64
}

// NewBook makes an empty book.
func NewBook() *Book {
	return &Book{nodes: map[agent.NodeID]*entry{}, grants: map[agent.LeaseID]store.Lease{}}
}

func wants(l store.Lease) amount {
	return amount{
		memoryMB: l.Resources.MemoryMB,
		diskMB:   l.ScratchMB,
		milliCPU: int64(l.Resources.CPUCores * 1000),
	}
}

func capacity(n store.Node) amount {
	return amount{memoryMB: n.MemoryMB, diskMB: n.DiskMB, milliCPU: int64(n.CPUCores * 1000)}
}

func (a amount) plus(b amount) amount {
	return amount{a.memoryMB + b.memoryMB, a.diskMB + b.diskMB, a.milliCPU + b.milliCPU}
}

func (a amount) minus(b amount) amount {
	return amount{a.memoryMB - b.memoryMB, a.diskMB - b.diskMB, a.milliCPU - b.milliCPU}
}

func (a amount) fitsIn(b amount) bool {
	return a.memoryMB <= b.memoryMB && a.diskMB <= b.diskMB && a.milliCPU <= b.milliCPU
}

// load is the fullest resource of a node, from 0 to 1.
func (e *entry) load() float64 {
	c := capacity(e.Node)
	return max(share(e.used.memoryMB, c.memoryMB), share(e.used.diskMB, c.diskMB), share(e.used.milliCPU, c.milliCPU))
}

func share(used, of int64) float64 {
	if of <= 0 {
		return 1
	}
	return float64(used) / float64(of)
}

// SetNodes takes the nodes' latest reports; nodes that are missing are gone.
func (b *Book) SetNodes(nodes []store.Node) {
	seen := map[agent.NodeID]bool{}
	for _, n := range nodes {
		seen[n.ID] = true
		if e := b.nodes[n.ID]; e != nil {
			e.Node = n
			continue
		}
		e := &entry{Node: n}
		for _, l := range b.grants {
			if l.Node == n.ID {
				e.used = e.used.plus(wants(l))
			}
		}
		b.nodes[n.ID] = e
	}
	for id := range b.nodes {
		if !seen[id] {
			delete(b.nodes, id)
		}
	}
}

// Take enters a grant; entering it again changes nothing.
func (b *Book) Take(l store.Lease) {
	if _, known := b.grants[l.ID]; known {
		return
	}
	b.grants[l.ID] = l
	if e := b.nodes[l.Node]; e != nil {
		e.used = e.used.plus(wants(l))
	}
}

// Has reports whether a grant is entered.
func (b *Book) Has(id agent.LeaseID) bool {
	_, ok := b.grants[id]
	return ok
}

// Free strikes a grant out; striking what is not there changes nothing.
func (b *Book) Free(id agent.LeaseID) {
	l, known := b.grants[id]
	if !known {
		return
	}
	delete(b.grants, id)
	if e := b.nodes[l.Node]; e != nil {
		e.used = e.used.minus(wants(l))
	}
}

// nodeSilence is how long a node's report may be old before nothing more is
// placed on it.
const nodeSilence = 10 * time.Second

// usable reports whether new work may be placed on a node at all.
func (e *entry) usable(l store.Lease, now time.Time) bool {
	return !e.Cordoned && now.Sub(e.ReportedAt) < nodeSilence && slices.Contains(e.Tiers, l.Tier)
}

// Place finds the least loaded node on which a request fits.
func (b *Book) Place(l store.Lease, now time.Time) (agent.NodeID, bool) {
	var best *entry
	for _, e := range b.nodes {
		if !e.usable(l, now) || !wants(l).fitsIn(capacity(e.Node).minus(e.used)) {
			continue
		}
		if best == nil || less(e, best) {
			best = e
		}
	}
	if best == nil {
		return "", false
	}
	return best.ID, true
}

func less(a, b *entry) bool {
	if c := cmp.Compare(a.load(), b.load()); c != 0 {
		return c < 0
	}
	return a.ID < b.ID
}

// Never gives the failure of a request that no node could hold even if it
// were empty; nil when some node could, or when none is known yet.
func (b *Book) Never(l store.Lease) *agent.Failure {
	if len(b.nodes) == 0 {
		return nil
	}
	var most amount
	var tiers []agent.Tier
	for _, e := range b.nodes {
		c := capacity(e.Node)
		if slices.Contains(e.Tiers, l.Tier) && wants(l).fitsIn(c) {
			return nil
		}
		most = amount{max(most.memoryMB, c.memoryMB), max(most.diskMB, c.diskMB), max(most.milliCPU, c.milliCPU)}
		tiers = append(tiers, e.Tiers...)
	}
	if !slices.Contains(tiers, l.Tier) {
		return nil // an engine that is being set up; shown as what the task waits for
	}
	return &agent.Failure{
		Class: agent.FailResources, Code: agent.CodeNoCapacity,
		Cause:    fmt.Sprintf("it needs %s, and no node has that: the largest has %s", describe(wants(l)), describe(most)),
		NextStep: "lower resources or filesystem.scratch_mb in the manifest and update the agent, or add a larger node; then `symbi task retry`",
	}
}

// Why says in words what keeps a request from being granted.
func (b *Book) Why(l store.Lease, now time.Time) string {
	need := wants(l)
	var usable []*entry
	for _, e := range b.nodes {
		if e.usable(l, now) {
			usable = append(usable, e)
		}
	}
	if len(usable) == 0 {
		return b.whyNoNode(l, now)
	}
	slices.SortFunc(usable, func(a, b *entry) int { return cmp.Compare(a.ID, b.ID) })
	lacks := func(name string, need int64, free func(amount) int64, show func(int64) string) string {
		top := slices.MaxFunc(usable, func(a, b *entry) int {
			return cmp.Compare(free(capacity(a.Node).minus(a.used)), free(capacity(b.Node).minus(b.used)))
		})
		most := free(capacity(top.Node).minus(top.used))
		if need <= most {
			return ""
		}
		return fmt.Sprintf("needs %s of %s, most free is %s on node %s", show(need), name, show(most), top.ID)
	}
	mb := func(v int64) string { return fmt.Sprintf("%d MB", v) }
	for _, why := range []string{
		lacks("memory", need.memoryMB, func(a amount) int64 { return a.memoryMB }, mb),
		lacks("CPU", need.milliCPU, func(a amount) int64 { return a.milliCPU }, cores),
		lacks("scratch space", need.diskMB, func(a amount) int64 { return a.diskMB }, mb),
	} {
		if why != "" {
			return why
		}
	}
	return "needs " + describe(need) + ", and no single node has all of it free"
}

// whyNoNode says why not even an empty node would do.
func (b *Book) whyNoNode(l store.Lease, now time.Time) string {
	if len(b.nodes) == 0 {
		return "no node has reported yet; start one with `symbi worker`"
	}
	for _, e := range b.nodes {
		if now.Sub(e.ReportedAt) >= nodeSilence {
			continue
		}
		if !slices.Contains(e.Tiers, l.Tier) {
			why := fmt.Sprintf("no node can run tier %s", l.Tier)
			if len(e.Problems) > 0 {
				why += "; node " + string(e.ID) + ": " + e.Problems[0]
			}
			return why
		}
	}
	return "every node that could run it is cordoned or silent"
}

func describe(a amount) string {
	return fmt.Sprintf("%d MB of memory, %s of CPU, %d MB of scratch space", a.memoryMB, cores(a.milliCPU), a.diskMB)
}

func cores(milli int64) string { return fmt.Sprintf("%g cores", float64(milli)/1000) }
