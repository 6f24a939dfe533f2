package workflows

import (
	"go.temporal.io/sdk/workflow"

	"symbi.dev/symbi/workflows/api"
)

// taskMail is the signals of a task. A request to cancel the workflow counts
// as a cancel signal sent by hand.
type taskMail struct {
	outer  workflow.Context
	asked  bool // the request to cancel was read
	gos    workflow.ReceiveChannel
	holds  workflow.ReceiveChannel
	grants workflow.ReceiveChannel
	cancel workflow.ReceiveChannel
}

func newTaskMail(ctx, outer workflow.Context) *taskMail {
	return &taskMail{
		outer:  outer,
		gos:    workflow.GetSignalChannel(ctx, api.SignalGo),
		holds:  workflow.GetSignalChannel(ctx, api.SignalHold),
		grants: workflow.GetSignalChannel(ctx, api.SignalGranted),
		cancel: workflow.GetSignalChannel(ctx, api.SignalCancel),
	}
}

// pending reports whether something came that was not read.
func (m *taskMail) pending() bool {
	return m.gos.Len() > 0 || m.holds.Len() > 0 || m.grants.Len() > 0 || m.cancel.Len() > 0 || m.cancelAsked()
}

func (m *taskMail) cancelAsked() bool { return !m.asked && m.outer.Err() != nil }

// read takes all signals that have come and lets them change what the task
// wants.
func (t *taskRun) read() error {
	if err := t.readOrders(t.mail.gos, api.SignalGo); err != nil {
		return err
	}
	if err := t.readOrders(t.mail.holds, api.SignalHold); err != nil {
		return err
	}
	if err := t.readGrants(); err != nil {
		return err
	}
	for {
		var c api.Command
		if !t.mail.cancel.ReceiveAsync(&c) {
			break
		}
		if err := t.asked(c); err != nil {
			return err
		}
	}
	if t.mail.cancelAsked() {
		t.mail.asked = true
		return t.asked(api.Command{Reason: "its workflow was cancelled"})
	}
	return nil
}

// readOrders obeys what the agent said, in the order in which it said it. An
// order sent by hand in the Temporal Web UI is refused: suspending the agent
// is the way to hold a task.
func (t *taskRun) readOrders(from workflow.ReceiveChannel, name string) error {
	for {
		var o api.Order
		if !from.ReceiveAsync(&o) {
			return nil
		}
		if o.Seq <= t.obeyed || o.By.Request != o.Tag() {
			continue
		}
		verdict, err := t.judge(name, o.By)
		if err != nil {
			return err
		}
		if verdict.Allowed {
			t.obeyed, t.admitted, t.holds = o.Seq, true, o.Holds
		}
	}
}

// readGrants takes the lease that was asked for; any other was withdrawn, and
// whoever withdrew it gave it back.
func (t *taskRun) readGrants() error {
	for {
		var g api.Grant
		if !t.mail.grants.ReceiveAsync(&g) {
			return nil
		}
		if g.Lease != t.lease.ID || t.lease.Node != "" || g.By.Request != g.Tag() {
			continue
		}
		verdict, err := t.judge(api.SignalGranted, g.By)
		if err != nil {
			return err
		}
		if verdict.Allowed {
			t.lease = Lease{ID: g.Lease, Node: g.Node, Epoch: g.Epoch, TTL: g.TTL}
		}
	}
}

// asked takes a cancel, if its sender may.
func (t *taskRun) asked(c api.Command) error {
	verdict, err := t.judge(api.SignalCancel, c)
	if err != nil || !verdict.Allowed || t.cancel != nil {
		return err
	}
	t.cancel = &cancellation{reason: because("cancelled", c.Reason), principal: verdict.Principal}
	return nil
}

// judge finds out who sent a signal and whether it may.
func (t *taskRun) judge(signal string, c api.Command) (JudgeResult, error) {
	var verdict JudgeResult
	err := workflow.ExecuteLocalActivity(short(t.ctx), StepJudge, JudgeInput{
		WorkflowID: t.in.Spec.WorkflowID(), Signal: signal, Namespace: t.in.Spec.Namespace,
		Agent: t.in.Spec.Agent, Task: t.in.Spec.Task, Owner: t.in.Owner, Command: c,
	}).Get(t.ctx, &verdict)
	return verdict, err
}
