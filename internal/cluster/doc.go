// Package cluster is how the processes of one installation hear of each other
// at once: a NATS connection with typed subjects, and the embedded NATS server
// of `symbi dev`.
//
// Nothing is true because a message said so. A message is a nudge to look at
// the store, or a question to a node; losing one costs time, never
// correctness, and every reader looks again by itself now and then.
package cluster
