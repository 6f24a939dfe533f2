// Package agent is the domain: what an agent is and may do (Manifest), how it
// lives (State, Hold, Lifecycle), what it is given to do (Task), what may go
// wrong (Failure, Error), and who may do what (Principal, Action, Decision).
//
// It is pure: no I/O, no clock, no randomness, and it imports nothing else of
// this module. Everything here may be used from a workflow. Whoever needs the
// words of the product finds them here, and each exists once.
package agent
