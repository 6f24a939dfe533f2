package audit

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
)

// Kinds of event.
const (
	KindAttempt    = "attempt"
	KindOutcome    = "outcome"
	KindTransition = "transition"
	KindGathered   = "gathered" // many reads or failed logins of one sort
)

// Event is what happens, as the one who reports it knows it.
type Event struct {
	Action    agent.Action
	Principal agent.Principal
	Namespace agent.Namespace
	Agent     agent.Name
	Resource  string // what it is done to
	Request   string // the request's ID
	Source    string // the address of whoever asked
	Decision  *agent.Decision
	Details   Details
}

// AttemptID names an attempt, for its outcome.
type AttemptID string

// Outcome is what came of an attempt.
type Outcome struct {
	Word   string // ok, denied or failed
	Reason string // a rule's reason, or an error's kind
}

// Words of outcomes.
const (
	wordOK     = "ok"
	wordDenied = "denied"
	wordFailed = "failed"
)

// Denied is the outcome of what policy forbade.
func Denied(reason string) Outcome { return Outcome{Word: wordDenied, Reason: reason} }

// OutcomeOf is the outcome of what was done, or failed with err. The error's
// kind is recorded, not its text, which may quote what was sent.
func OutcomeOf(err error) Outcome {
	kind := agent.KindOf(err)
	switch {
	case err == nil:
		return Outcome{Word: wordOK}
	case errors.Is(err, agent.ErrDenied):
		return Denied(kind.Error())
	case kind != nil:
		return Outcome{Word: wordFailed, Reason: kind.Error()}
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return Outcome{Word: wordFailed, Reason: "given up"}
	}
	return Outcome{Word: wordFailed, Reason: "internal"}
}

// stored is an event as it is written.
func (l *Log) stored(kind string, e Event) store.Event {
	details := e.Details
	if e.Source != "" {
		details = details.with("source", e.Source)
	}
	return store.Event{
		ID: uuid.Must(uuid.NewV7()).String(), At: l.now().UTC(), Kind: kind,
		Action: e.Action, Principal: agent.Principal(clean(string(e.Principal))), Namespace: e.Namespace, Agent: e.Agent,
		Resource: clean(e.Resource), Request: clean(e.Request), Decision: e.Decision, Details: details.text(),
	}
}
