package sandbox

import (
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox/initproto"
)

// record is what the driver must know of a sandbox after a restart of the
// worker: sandbox.json in the task's folder.
type record struct {
	Lease     agent.LeaseID   `json:"lease"`
	Task      agent.TaskRef   `json:"task"`
	Attempt   int             `json:"attempt"`
	Tier      agent.Tier      `json:"tier"`
	Image     string          `json:"image"`
	Digest    agent.Digest    `json:"digest"`
	Resources agent.Resources `json:"resources"`
	ScratchMB int64           `json:"scratch_mb"`
	Init      initproto.Task  `json:"init"`
	Inputs    []string        `json:"inputs,omitempty"` // files in the input folder
	Loop      loopStart       `json:"loop"`             // what the task folder lies on

	// LaunchedAt is when the engine was told to start the container: from then
	// on this lease is never started again.
	LaunchedAt time.Time `json:"launched_at,omitzero"`
	// StartBy is when init must have started the program; a freeze puts it off.
	StartBy time.Time `json:"start_by,omitzero"`
	// StartedAt is when init first said that the program was started, by the
	// host's clock. The execution timeout counts from here.
	StartedAt   time.Time      `json:"started_at,omitzero"`
	FrozenSince time.Time      `json:"frozen_since,omitzero"`
	FrozenFor   agent.Duration `json:"frozen_for,omitempty"` // since StartedAt, FrozenSince left out
	Stop        *stopOrder     `json:"stop,omitempty"`
	Obeyed      int64          `json:"obeyed,omitempty"` // the highest order to freeze or thaw
	Used        accounts       `json:"used"`
}

// stopOrder is why a sandbox is to end, and until when it may take its time.
type stopOrder struct {
	Cause  stopCause `json:"cause"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
	KillAt time.Time `json:"kill_at"`
}

// stopCause is who wants a sandbox to end.
type stopCause string

const (
	stopAsked   stopCause = "asked"   // somebody called Stop
	stopTimeout stopCause = "timeout" // the execution timeout was reached
	stopFenced  stopCause = "fenced"  // frozen while its worker was away for longer than the lease lives
	stopRuntime stopCause = "runtime" // its runtime is not that of its tier
	stopSilent  stopCause = "silent"  // init never said that it started the program
)

// running is how long the program has run at a time, frozen time left out.
func (r *record) running(now time.Time) time.Duration {
	if r.StartedAt.IsZero() {
		return 0
	}
	return now.Sub(r.StartedAt) - r.frozen(now)
}

// frozen is how long the program has stood still since it was started.
func (r *record) frozen(now time.Time) time.Duration {
	total := r.FrozenFor.Std()
	if !r.FrozenSince.IsZero() && !r.StartedAt.IsZero() {
		since := r.FrozenSince
		if since.Before(r.StartedAt) {
			since = r.StartedAt
		}
		total += max(now.Sub(since), 0)
	}
	return total
}

// freeze and thaw note a change from the one to the other.
func (r *record) freeze(now time.Time) { r.FrozenSince = now }

func (r *record) thaw(now time.Time) {
	if r.StartedAt.IsZero() {
		r.StartBy = r.StartBy.Add(now.Sub(r.FrozenSince))
	}
	r.FrozenFor = agent.Duration(r.frozen(now))
	r.FrozenSince = time.Time{}
}

// launch notes that the engine is about to be told to start the container.
func (r *record) launch(now time.Time) {
	r.LaunchedAt, r.StartBy = now, now.Add(startTimeout)
}

// started notes the program's start, once.
func (r *record) started(now time.Time) bool {
	if !r.StartedAt.IsZero() {
		return false
	}
	r.StartedAt = now
	return true
}

// startTimeout is how long after its launch init may take to start the
// program, on a busy node.
const startTimeout = time.Minute

// due is when the driver must act next, and on what account: kill what was
// asked to end, end what ran for too long, or give up on what never started.
// The zero time is never.
func (r *record) due(now time.Time) (time.Time, stopCause) {
	switch {
	case r.Stop != nil:
		return r.Stop.KillAt, r.Stop.Cause
	case !r.FrozenSince.IsZero():
		return time.Time{}, ""
	case r.StartedAt.IsZero():
		return r.StartBy, stopSilent
	}
	return now.Add(r.Resources.ExecutionTimeout.Std() - r.running(now)), stopTimeout
}
