// Package scheduler grants nodes' resources to tasks.
//
// One process at a time leads: it keeps a book of every node's capacity and of
// the leases on it, and decides in memory. What it decides is durable by what
// surrounds it: a request is a row in the store, a grant is that row changed,
// and the waiting task's workflow is told by a signal that it takes once. A
// new leader reads the rows and the nodes' reports before it grants anything,
// and tells of every grant again, because the one before may have died between
// a grant and its telling.
//
// Leadership is a row too: whoever takes it over counts the epoch up, grants
// carry the epoch, and nodes refuse a lower one than they have seen.
//
// Requests are granted by priority, then class, then age; a request goes to
// the least loaded of the nodes that fit. What fits is memory, CPU and scratch
// space; a request that waits is passed by later ones that fit.
package scheduler
