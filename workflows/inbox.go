package workflows

import (
	"slices"

	"go.temporal.io/sdk/workflow"

	"symbi.dev/symbi/workflows/api"
)

// signal is one that came, with the field for its name filled in.
type signal struct {
	name    string
	command api.Command
	arrived api.TaskArrived
	ended   api.TaskEnded
	updated api.ManifestUpdated
}

// inbox waits for any of an agent's signals. Temporal keeps a channel a
// signal name, so the order between names is not the order of arrival: tasks'
// ends are read first, so that their room is free for those that arrive, and
// commands are put in the order in which the server accepted them.
//
// A request to cancel the workflow (only the Temporal Web UI and its like
// make one) is taken as a terminate signal sent by hand.
type inbox struct {
	ctx      workflow.Context // is never done
	outer    workflow.Context // is done once cancellation was asked for
	asked    bool             // that was read
	commands []workflow.ReceiveChannel
	arrived  workflow.ReceiveChannel
	ended    workflow.ReceiveChannel
	updated  workflow.ReceiveChannel
}

// commandNames are the signals whose payload is a Command, in the order in
// which they are read.
var commandNames = []string{api.SignalSuspend, api.SignalResume, api.SignalTerminate}

// newInbox reads the signals of the workflow. ctx must be disconnected from
// outer, which carries the workflow's own cancellation.
func newInbox(ctx, outer workflow.Context) *inbox {
	in := &inbox{
		ctx:     ctx,
		outer:   outer,
		arrived: workflow.GetSignalChannel(ctx, api.SignalTaskArrived),
		ended:   workflow.GetSignalChannel(ctx, api.SignalTaskEnded),
		updated: workflow.GetSignalChannel(ctx, api.SignalManifestUpdated),
	}
	for _, name := range commandNames {
		in.commands = append(in.commands, workflow.GetSignalChannel(ctx, name))
	}
	return in
}

// next blocks until there is a signal, and gives all that have come.
func (in *inbox) next() ([]signal, error) {
	for {
		if got := in.drain(); len(got) > 0 {
			return got, nil
		}
		if err := workflow.Await(in.ctx, in.pending); err != nil {
			return nil, err
		}
	}
}

// pending reports whether a signal has come that was not read.
func (in *inbox) pending() bool {
	if in.cancelAsked() {
		return true
	}
	for _, c := range in.all() {
		if c.Len() > 0 {
			return true
		}
	}
	return false
}

func (in *inbox) all() []workflow.ReceiveChannel {
	return append([]workflow.ReceiveChannel{in.ended, in.updated, in.arrived}, in.commands...)
}

// cancelAsked reports a request to cancel that was not read.
func (in *inbox) cancelAsked() bool { return !in.asked && in.outer.Err() != nil }

// drain takes all that is there.
func (in *inbox) drain() []signal {
	var got []signal
	for {
		var s signal
		if !in.ended.ReceiveAsync(&s.ended) {
			break
		}
		s.name = api.SignalTaskEnded
		got = append(got, s)
	}
	for {
		var s signal
		if !in.updated.ReceiveAsync(&s.updated) {
			break
		}
		s.name = api.SignalManifestUpdated
		got = append(got, s)
	}
	got = append(got, in.drainCommands()...)
	for {
		var s signal
		if !in.arrived.ReceiveAsync(&s.arrived) {
			break
		}
		s.name = api.SignalTaskArrived
		got = append(got, s)
	}
	return got
}

// drainCommands takes the commands, in the order in which they were accepted;
// those sent by hand carry no time and come last.
func (in *inbox) drainCommands() []signal {
	var got []signal
	for i, c := range in.commands {
		for {
			s := signal{name: commandNames[i]}
			if !c.ReceiveAsync(&s.command) {
				break
			}
			got = append(got, s)
		}
	}
	slices.SortStableFunc(got, func(a, b signal) int {
		switch at, bt := a.command.At, b.command.At; {
		case at.IsZero() && bt.IsZero():
			return 0
		case at.IsZero():
			return 1
		case bt.IsZero():
			return -1
		default:
			return at.Compare(bt)
		}
	})
	if in.cancelAsked() {
		in.asked = true
		got = append(got, signal{name: api.SignalTerminate, command: api.Command{Reason: "its workflow was cancelled"}})
	}
	return got
}
