package agent

import (
	"fmt"
	"slices"
)

// State is where an agent stands in its life. The states and the arrows
// between them are requirement R2, exactly.
type State string

// The states of an agent.
const (
	Initializing State = "Initializing"
	Ready        State = "Ready"
	Running      State = "Running"
	Suspended    State = "Suspended"
	Failed       State = "Failed"
	Terminated   State = "Terminated"
)

// States lists every state in the order of life.
var States = []State{Initializing, Ready, Running, Suspended, Failed, Terminated}

// arrows are the allowed transitions.
var arrows = map[State][]State{
	Initializing: {Ready, Failed},
	Ready:        {Running, Terminated},
	Running:      {Ready, Suspended},
	Suspended:    {Running, Terminated},
	Failed:       {Terminated},
	Terminated:   {},
}

// CanMove reports whether an agent may go from one state to the other in one step.
func CanMove(from, to State) bool { return slices.Contains(arrows[from], to) }

// Hold is a reason why an agent or a task must stand still. Each cause lifts
// only its own.
type Hold string

// The holds.
const (
	HoldUser     Hold = "user"
	HoldPolicy   Hold = "policy"
	HoldResource Hold = "resource"
)

// Holds is a set of holds, sorted. The zero value is the empty set.
type Holds []Hold

// Has reports whether h is in the set.
func (s Holds) Has(h Hold) bool { return slices.Contains(s, h) }

// With returns the set with h in it.
func (s Holds) With(h Hold) Holds {
	if s.Has(h) {
		return s
	}
	out := append(slices.Clone(s), h)
	slices.Sort(out)
	return out
}

// Without returns the set with h not in it.
func (s Holds) Without(h Hold) Holds {
	out := slices.DeleteFunc(slices.Clone(s), func(x Hold) bool { return x == h })
	if len(out) == 0 {
		return nil
	}
	return out
}

// Transition is one step of an agent's life.
type Transition struct {
	From State `json:"from"`
	To   State `json:"to"`
}

// Lifecycle is an agent's state machine: the state, the holds, and how many
// tasks it works on. It is a value: each event gives the steps taken, in
// order, and changes the receiver. An event that the state forbids changes
// nothing and is an error of kind ErrConflict.
//
// An agent that is told to terminate while it has tasks, or while it is
// Initializing, is Terminating: it takes no new work and reaches Terminated
// when the last of its tasks has ended (from Running by way of Ready).
type Lifecycle struct {
	State       State `json:"state"`
	Holds       Holds `json:"holds,omitempty"`
	Active      int   `json:"active"`                // tasks admitted and not ended
	Terminating bool  `json:"terminating,omitempty"` // Terminate was asked for
}

// NewLifecycle is an agent that was just created.
func NewLifecycle() Lifecycle { return Lifecycle{State: Initializing} }

// Accepts reports whether a new task may be submitted: held agents take tasks
// and let them wait; dying, failed and dead ones do not.
func (l *Lifecycle) Accepts() bool {
	return !l.Terminating && l.State != Failed && l.State != Terminated
}

// Initialized ends initialisation, well or not.
func (l *Lifecycle) Initialized(ok bool) ([]Transition, error) {
	if l.State != Initializing {
		return nil, l.forbid("initialise")
	}
	next := Ready
	if !ok {
		next = Failed
	}
	return l.move(next, l.settle), nil
}

// TaskAssigned admits one task. An agent under a hold goes to Running and at
// once to Suspended.
func (l *Lifecycle) TaskAssigned() ([]Transition, error) {
	if l.Terminating || (l.State != Ready && l.State != Running && l.State != Suspended) {
		return nil, l.forbid("take a task")
	}
	l.Active++
	if l.State != Ready {
		return nil, nil
	}
	return l.move(Running, l.settle), nil
}

// TaskEnded says that one admitted task is over, however it ended.
func (l *Lifecycle) TaskEnded() ([]Transition, error) {
	if l.Active == 0 {
		return nil, l.forbid("end a task it does not have")
	}
	l.Active--
	return l.settle(), nil
}

// Hold adds a reason to stand still.
func (l *Lifecycle) Hold(h Hold) ([]Transition, error) {
	if l.State == Failed || l.State == Terminated || l.Terminating {
		return nil, l.forbid("suspend")
	}
	l.Holds = l.Holds.With(h)
	return l.settle(), nil
}

// Lift takes back one reason to stand still; lifting what is not set changes nothing.
func (l *Lifecycle) Lift(h Hold) ([]Transition, error) {
	if l.State == Failed || l.State == Terminated || l.Terminating {
		return nil, l.forbid("resume")
	}
	l.Holds = l.Holds.Without(h)
	return l.settle(), nil
}

// Terminate asks for the end. Asking twice is no error.
func (l *Lifecycle) Terminate() ([]Transition, error) {
	if l.State == Terminated {
		return nil, l.forbid("terminate")
	}
	l.Terminating = true
	return l.settle(), nil
}

// settle takes every step that now follows by itself.
func (l *Lifecycle) settle() []Transition {
	idle := l.Active == 0
	switch l.State {
	case Ready:
		if l.Terminating && idle {
			return l.move(Terminated, nil)
		}
	case Running:
		switch {
		case idle:
			return l.move(Ready, l.settle)
		case len(l.Holds) > 0 && !l.Terminating:
			return l.move(Suspended, nil)
		}
	case Suspended:
		switch {
		case l.Terminating && idle:
			return l.move(Terminated, nil)
		case len(l.Holds) == 0 && !l.Terminating:
			return l.move(Running, l.settle)
		}
	case Failed:
		if l.Terminating {
			return l.move(Terminated, nil)
		}
	}
	return nil
}

// move takes one step and then those that follow from it.
func (l *Lifecycle) move(to State, then func() []Transition) []Transition {
	steps := []Transition{{From: l.State, To: to}}
	l.State = to
	if then != nil {
		steps = append(steps, then()...)
	}
	return steps
}

func (l *Lifecycle) forbid(what string) error {
	state := string(l.State)
	if l.Terminating && l.State != Terminated {
		state += ", terminating"
	}
	return &Error{Kind: ErrConflict, Message: fmt.Sprintf("an agent that is %s cannot %s", state, what)}
}
