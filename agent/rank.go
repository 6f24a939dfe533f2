package agent

import "slices"

// Priorities and Classes list theirs, most urgent first.
var (
	Priorities = []Priority{Critical, High, Normal, Low}
	Classes    = []Class{RealTime, Batch}
)

// Rank orders priorities: 0 is the most urgent. An unknown one comes last.
func (p Priority) Rank() int { return rank(Priorities, p) }

// Rank orders classes: 0 is the most urgent. An unknown one comes last.
func (c Class) Rank() int { return rank(Classes, c) }

func rank[T comparable](order []T, v T) int {
	if i := slices.Index(order, v); i >= 0 {
		return i
	}
	return len(order)
}
