// Package workflows holds the Temporal workflows: an agent's life and a
// task's. It also owns the names and types of the activities that they call;
// package activities fills them in.
//
// What is authoritative is Temporal's history; everything shown elsewhere is
// a projection that a workflow or a node wrote as things changed. Invariants:
//
//   - an agent moves only along the arrows of agent.Lifecycle;
//   - a task has one end, and its agent hears of it;
//   - at most one attempt of a task holds a lease, and a lease is given up
//     before the next is asked for;
//   - every signal may arrive twice, early or late, and then changes nothing.
//
// Short steps are local activities: they cost a marker in the history instead
// of a trip through a task queue. What waits (a lease) or can only happen on
// one node (a sandbox) is an ordinary activity.
package workflows
