package agent

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// event is something that happens to an agent.
type event struct {
	name string
	do   func(*Lifecycle) ([]Transition, error)
}

var (
	valid     = event{"valid config", func(l *Lifecycle) ([]Transition, error) { return l.Initialized(true) }}
	invalid   = event{"invalid config", func(l *Lifecycle) ([]Transition, error) { return l.Initialized(false) }}
	assign    = event{"task assigned", (*Lifecycle).TaskAssigned}
	complete  = event{"task ended", (*Lifecycle).TaskEnded}
	suspend   = event{"suspend", func(l *Lifecycle) ([]Transition, error) { return l.Hold(HoldUser) }}
	violation = event{"policy violation", func(l *Lifecycle) ([]Transition, error) { return l.Hold(HoldPolicy) }}
	resume    = event{"resume", func(l *Lifecycle) ([]Transition, error) { return l.Lift(HoldUser) }}
	cleared   = event{"policy cleared", func(l *Lifecycle) ([]Transition, error) { return l.Lift(HoldPolicy) }}
	terminate = event{"terminate", (*Lifecycle).Terminate}

	events = []event{valid, invalid, assign, complete, suspend, violation, resume, cleared, terminate}
)

// after is the lifecycle that a course of events leads to.
func after(t *testing.T, course ...event) Lifecycle {
	t.Helper()
	l := NewLifecycle()
	for _, e := range course {
		if _, err := e.do(&l); err != nil {
			t.Fatalf("%s: %v", e.name, err)
		}
	}
	return l
}

func TestEveryEventInEveryState(t *testing.T) {
	t.Parallel()
	const no = "forbidden"
	for _, c := range []struct {
		name string
		now  []event
		// want is the state after each of events, in their order; no where it is forbidden.
		want [9]string
	}{
		{"Initializing", nil, [9]string{"Ready", "Failed", no, no, "Initializing", "Initializing", "Initializing", "Initializing", "Initializing"}},
		{"Initializing, terminating", []event{terminate}, [9]string{"Terminated", "Terminated", no, no, no, no, no, no, "Initializing"}},
		{"Ready", []event{valid}, [9]string{no, no, "Running", no, "Ready", "Ready", "Ready", "Ready", "Terminated"}},
		{"Ready, held", []event{valid, suspend}, [9]string{no, no, "Suspended", no, "Ready", "Ready", "Ready", "Ready", "Terminated"}},
		{"Running", []event{valid, assign}, [9]string{no, no, "Running", "Ready", "Suspended", "Suspended", "Running", "Running", "Running"}},
		{"Running, two tasks", []event{valid, assign, assign}, [9]string{no, no, "Running", "Running", "Suspended", "Suspended", "Running", "Running", "Running"}},
		{"Running, terminating", []event{valid, assign, terminate}, [9]string{no, no, no, "Terminated", no, no, no, no, "Running"}},
		{"Suspended", []event{valid, assign, suspend}, [9]string{no, no, "Suspended", "Suspended", "Suspended", "Suspended", "Running", "Suspended", "Suspended"}},
		{"Suspended, both holds", []event{valid, assign, suspend, violation}, [9]string{no, no, "Suspended", "Suspended", "Suspended", "Suspended", "Suspended", "Suspended", "Suspended"}},
		{"Suspended, no task left", []event{valid, assign, suspend, complete}, [9]string{no, no, "Suspended", no, "Suspended", "Suspended", "Ready", "Suspended", "Terminated"}},
		{"Suspended, terminating", []event{valid, assign, suspend, terminate}, [9]string{no, no, no, "Terminated", no, no, no, no, "Suspended"}},
		{"Failed", []event{invalid}, [9]string{no, no, no, no, no, no, no, no, "Terminated"}},
		{"Terminated", []event{valid, terminate}, [9]string{no, no, no, no, no, no, no, no, no}},
	} {
		for i, e := range events {
			l := after(t, c.now...)
			before := l
			steps, err := e.do(&l)
			if c.want[i] == no {
				if !errors.Is(err, ErrConflict) || l.State != before.State || l.Active != before.Active || len(steps) > 0 {
					t.Errorf("%s: %s: got %s, %v; want it forbidden", c.name, e.name, l.State, err)
				}
				continue
			}
			if err != nil || string(l.State) != c.want[i] {
				t.Errorf("%s: %s: got %s, %v; want %s", c.name, e.name, l.State, err, c.want[i])
			}
		}
	}
}

func TestLifecycleTakesOnlyTheArrowsOfR2(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := NewLifecycle()
		for range rapid.IntRange(1, 60).Draw(t, "length") {
			e := rapid.SampledFrom(events).Draw(t, "event")
			at := l.State
			steps, err := e.do(&l)
			if err != nil && len(steps) > 0 {
				t.Fatalf("%s is forbidden and took %v", e.name, steps)
			}
			for _, s := range steps {
				if s.From != at || !CanMove(s.From, s.To) {
					t.Fatalf("%s in %s: step %v is no arrow", e.name, at, s)
				}
				at = s.To
			}
			if at != l.State {
				t.Fatalf("%s: the steps end in %s and the state is %s", e.name, at, l.State)
			}
			checkInvariants(t, l)
		}
	})
}

func checkInvariants(t *rapid.T, l Lifecycle) {
	working := l.State == Running || l.State == Suspended
	switch {
	case l.Active < 0, l.Active > 0 && !working:
		t.Fatalf("%s with %d tasks", l.State, l.Active)
	case l.State == Running && l.Active == 0:
		t.Fatal("Running without a task")
	case l.State == Running && len(l.Holds) > 0 && !l.Terminating:
		t.Fatalf("Running under %v", l.Holds)
	case l.State == Suspended && len(l.Holds) == 0:
		t.Fatal("Suspended under no hold")
	case l.Terminating && (l.State == Ready || l.State == Failed):
		t.Fatalf("%s though it was told to terminate", l.State)
	case !slices.IsSorted(l.Holds):
		t.Fatalf("holds %v are not sorted", l.Holds)
	}
}
