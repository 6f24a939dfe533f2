package workflows

import (
	"slices"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/workflows/api"
)

// settle does all that follows from the agent's state: it admits tasks, tells
// them what holds for them, and publishes. Telling may find tasks gone, which
// makes room for others; it ends when nothing is left to do.
func (l *agentLife) settle() error {
	for {
		l.admit()
		l.instruct()
		if err := l.publish(); err != nil {
			return err
		}
		if len(l.messages) == 0 {
			return nil
		}
		gone, err := l.send()
		if err != nil {
			return err
		}
		for _, task := range gone {
			l.ended(api.TaskEnded{Task: task, State: "gone"})
		}
	}
}

// admit lets waiting tasks begin while there is room. An agent under a hold
// admits them too, held: its next task makes it Running and at once Suspended.
func (l *agentLife) admit() {
	if !l.Lifecycle.Accepts() {
		for _, task := range l.Waiting {
			l.tell(task, api.SignalCancel, l.refusal())
		}
		l.changed = l.changed || len(l.Waiting) > 0
		l.Waiting = nil
		return
	}
	if l.Lifecycle.State == agent.Initializing {
		return
	}
	for len(l.Waiting) > 0 && len(l.Active) < l.MaxConcurrent {
		task := l.Waiting[0]
		steps, err := l.Lifecycle.TaskAssigned()
		if err != nil {
			return
		}
		l.Waiting = slices.Delete(l.Waiting, 0, 1)
		l.Active = append(l.Active, api.AdmittedTask{Task: task, Held: len(l.Lifecycle.Holds) > 0})
		l.took(steps, nil, "task "+string(task)+" assigned", agent.PrincipalRuntime)
		l.tellStanding(&l.Active[len(l.Active)-1])
		l.changed = true
	}
}

// instruct tells each admitted task what changed for it since it was last told.
func (l *agentLife) instruct() {
	held := len(l.Lifecycle.Holds) > 0
	for i := range l.Active {
		a := &l.Active[i]
		switch {
		case l.Lifecycle.Terminating && !a.Ending:
			a.Ending = true
			l.tell(a.Task, api.SignalCancel, "its agent was terminated")
		case !l.Lifecycle.Terminating && a.Held != held:
			a.Held = held
			l.tellStanding(a)
		}
	}
}

// tellStanding tells a task whether it may go.
func (l *agentLife) tellStanding(a *api.AdmittedTask) {
	if a.Held {
		l.tell(a.Task, api.SignalHold, "its agent is suspended")
		return
	}
	l.tell(a.Task, api.SignalGo, "")
}

func (l *agentLife) tell(task agent.TaskID, signal, reason string) {
	l.Orders++
	l.messages = append(l.messages, Message{
		Task:   agent.TaskRef{Namespace: l.in.Namespace, Agent: l.in.Name, Task: task},
		Signal: signal, Seq: l.Orders, Reason: reason, Holds: l.Lifecycle.Holds,
	})
}

// send signals the tasks, and gives those that are over.
func (l *agentLife) send() ([]agent.TaskID, error) {
	var result TellResult
	err := workflow.ExecuteLocalActivity(short(l.ctx), StepTell, TellInput{Messages: l.messages}).Get(l.ctx, &result)
	if err != nil {
		return nil, err
	}
	l.messages = nil
	return result.Gone, nil
}

// publish writes what changed: search attributes, projection, history.
func (l *agentLife) publish() error {
	if !l.changed && len(l.steps) == 0 {
		return nil
	}
	if err := l.showAttributes(); err != nil {
		return err
	}
	l.Seq++
	err := workflow.ExecuteLocalActivity(short(l.ctx), StepPublish, PublishInput{
		ID: l.in.ID, Seq: l.Seq, Lifecycle: l.Lifecycle, Waiting: len(l.Waiting), Tier: l.Tier,
		Failure: l.Failure, Transitions: l.steps, At: workflow.Now(l.ctx),
	}).Get(l.ctx, nil)
	if err != nil {
		return err
	}
	l.changed, l.steps = false, nil
	return nil
}

// showAttributes brings the search attributes up to date.
func (l *agentLife) showAttributes() error {
	now := shownAttrs{state: l.Lifecycle.State, holds: l.Lifecycle.Holds, tier: l.Tier}
	var updates []temporal.SearchAttributeUpdate
	if now.state != l.shown.state {
		updates = append(updates, keyState.ValueSet(string(now.state)))
	}
	if now.tier != l.shown.tier {
		updates = append(updates, keyTier.ValueSet(string(now.tier)))
	}
	if !slices.Equal(now.holds, l.shown.holds) {
		updates = append(updates, keyHolds.ValueSet(holdNames(now.holds)))
	}
	if len(updates) == 0 {
		return nil
	}
	l.shown = now
	return workflow.UpsertTypedSearchAttributes(l.ctx, updates...)
}

func holdNames(holds agent.Holds) []string {
	names := make([]string, len(holds))
	for i, h := range holds {
		names[i] = string(h)
	}
	return names
}
