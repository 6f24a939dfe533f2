// Package audit records what is attempted and what came of it, durably and in
// order. An attempt is on record before the action is done; its outcome
// follows. What changes by itself (a transition) is recorded at least once.
// Reads and failed logins are gathered per source and minute in a lane of their
// own, so that no flood of them can stop anything.
//
// Events are appended in groups: one write carries all that waited. When the
// log cannot keep up or does not answer, Attempt fails, and what it was for
// must not be done. An attempt without an outcome says that the process ended
// in between; whether the action was done is then not known.
//
// Details that look like secrets are not written.
package audit
