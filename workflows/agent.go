package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/workflows/api"
)

// recentKept is how many transitions the status query shows; the store has all.
const recentKept = 10

// Agent is an agent's life, from Initializing to Terminated. It waits for
// signals, lets its lifecycle judge them, admits tasks, tells them to go, to
// hold or to end, and publishes what changed. It continues as new between two
// signals, carrying its state, before its history grows long.
func Agent(ctx workflow.Context, in api.AgentInput) error {
	life := newAgentLife(ctx, in)
	if err := workflow.SetQueryHandler(ctx, api.QueryStatus, life.status); err != nil {
		return err
	}
	if in.Carried == nil {
		if err := life.initialise(); err != nil {
			return err
		}
	}
	for {
		if err := life.settle(); err != nil {
			return err
		}
		if life.Lifecycle.State == agent.Terminated {
			return nil
		}
		if life.mustContinue() {
			return workflow.NewContinueAsNewError(ctx, api.AgentWorkflow, life.carry())
		}
		if err := life.receive(); err != nil {
			return err
		}
	}
}

// agentLife is one run of an agent's workflow.
type agentLife struct {
	api.AgentState
	ctx     workflow.Context
	in      api.AgentInput
	inbox   *inbox
	handled int // signals in this run

	steps    []NumberedStep // not yet published
	messages []Message      // not yet sent
	changed  bool           // something that lists show is not yet published
	shown    shownAttrs     // what the search attributes say
}

// shownAttrs is what was last written to the search attributes.
type shownAttrs struct {
	state agent.State
	holds agent.Holds
	tier  agent.Tier
}

func newAgentLife(outer workflow.Context, in api.AgentInput) *agentLife {
	ctx, _ := workflow.NewDisconnectedContext(outer)
	life := &agentLife{ctx: ctx, in: in, inbox: newInbox(ctx, outer)}
	if in.Carried != nil {
		life.AgentState = *in.Carried
		life.shown = shownAttrs{state: life.Lifecycle.State, holds: life.Lifecycle.Holds, tier: life.Tier}
		return life
	}
	life.Lifecycle = agent.NewLifecycle()
	life.ManifestVersion = in.ManifestVersion
	life.shown.state = agent.Initializing // set by whoever started the workflow
	return life
}

// initialise reads the manifest, and fetches the image where one is to be fetched.
func (l *agentLife) initialise() error {
	result, err := l.prepare(l.ManifestVersion)
	if err != nil {
		return err
	}
	l.adopt(result)
	cause := "its manifest is valid and its program is there"
	if result.Failure != nil {
		l.Failure = result.Failure
		cause = result.Failure.Cause
	}
	steps, err := l.Lifecycle.Initialized(result.Failure == nil)
	l.took(steps, err, cause, agent.PrincipalRuntime)
	l.changed = true
	return nil
}

// prepare runs the initialisation steps for one version of the manifest.
func (l *agentLife) prepare(version int64) (InitialiseResult, error) {
	in := InitialiseInput{ID: l.in.ID, Owner: l.in.Owner, ManifestVersion: version}
	var result InitialiseResult
	if err := workflow.ExecuteLocalActivity(short(l.ctx), StepInitialise, in).Get(l.ctx, &result); err != nil {
		return result, err
	}
	if !result.PullImage {
		return result, nil
	}
	ctx := workflow.WithActivityOptions(l.ctx, workflow.ActivityOptions{
		StartToCloseTimeout: pullTimeout,
		HeartbeatTimeout:    pullHeartbeat,
		Summary:             "fetch the image",
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: pullAttempts},
	})
	err := workflow.ExecuteActivity(ctx, StepPrepareImage, in).Get(ctx, &result)
	if err != nil {
		result.Failure = failureFrom(err)
	}
	return result, nil
}

// Bounds of fetching an image.
const (
	pullTimeout   = 30 * time.Minute
	pullHeartbeat = 30 * time.Second
	pullAttempts  = 3
)

// adopt takes over what a manifest says.
func (l *agentLife) adopt(result InitialiseResult) {
	l.MaxConcurrent = max(result.MaxConcurrent, 1)
	l.Tier = result.Tier
}

// receive waits for a signal and handles all that have come.
func (l *agentLife) receive() error {
	signals, err := l.inbox.next()
	if err != nil {
		return err
	}
	for _, s := range signals {
		l.handled++
		if err := l.handle(s); err != nil {
			return err
		}
	}
	return nil
}

// handle takes one signal.
func (l *agentLife) handle(s signal) error {
	switch s.name {
	case api.SignalTaskArrived:
		l.arrived(s.arrived.Task)
	case api.SignalTaskEnded:
		l.ended(s.ended)
	case api.SignalManifestUpdated:
		return l.updated(s.updated)
	default:
		return l.command(s.name, s.command)
	}
	return nil
}

// arrived notes a task that asks to begin. One that asks again (its first
// question or our answer was lost) is answered again.
func (l *agentLife) arrived(task agent.TaskID) {
	if !l.Lifecycle.Accepts() {
		l.tell(task, api.SignalCancel, l.refusal())
		return
	}
	if i := l.indexActive(task); i >= 0 {
		l.tellStanding(&l.Active[i])
		return
	}
	if !slices.Contains(l.Waiting, task) {
		l.Waiting = append(l.Waiting, task)
		l.changed = true
	}
}

// refusal is why no task can begin any more.
func (l *agentLife) refusal() string {
	if l.Lifecycle.State == agent.Failed {
		return "its agent has failed: " + l.Failure.Cause
	}
	return "its agent was terminated"
}

// ended forgets a task that is over.
func (l *agentLife) ended(e api.TaskEnded) {
	if i := slices.Index(l.Waiting, e.Task); i >= 0 {
		l.Waiting = slices.Delete(l.Waiting, i, i+1)
		l.changed = true
	}
	i := l.indexActive(e.Task)
	if i < 0 {
		return
	}
	l.Active = slices.Delete(l.Active, i, i+1)
	steps, err := l.Lifecycle.TaskEnded()
	l.took(steps, err, "task "+string(e.Task)+" ended: "+string(e.State), agent.PrincipalRuntime)
	l.changed = true
}

// command takes a suspend, resume or terminate, if its sender may.
func (l *agentLife) command(name string, c api.Command) error {
	var verdict JudgeResult
	err := workflow.ExecuteLocalActivity(short(l.ctx), StepJudge, JudgeInput{
		WorkflowID: l.in.WorkflowID(), Signal: name, Namespace: l.in.Namespace, Agent: l.in.Name,
		Owner: l.in.Owner, Command: c,
	}).Get(l.ctx, &verdict)
	if err != nil {
		return err
	}
	if !verdict.Allowed {
		return nil
	}
	before := l.Lifecycle
	var steps []agent.Transition
	switch name {
	case api.SignalSuspend:
		steps, err = l.Lifecycle.Hold(agent.HoldUser)
	case api.SignalResume:
		steps, err = l.Lifecycle.Lift(agent.HoldUser)
	case api.SignalTerminate:
		steps, err = l.Lifecycle.Terminate()
	}
	l.took(steps, err, because(name, c.Reason), verdict.Principal)
	l.changed = l.changed || !slices.Equal(before.Holds, l.Lifecycle.Holds) || before.Terminating != l.Lifecycle.Terminating
	return nil
}

// because joins what was asked for and why.
func because(what, reason string) string {
	if reason == "" {
		return what
	}
	return what + ": " + reason
}

// updated takes a new manifest, for the tasks submitted from now on. One that
// cannot be used leaves the agent as it was; the server told the sender.
func (l *agentLife) updated(u api.ManifestUpdated) error {
	if u.Version <= l.ManifestVersion || !l.Lifecycle.Accepts() {
		return nil
	}
	result, err := l.prepare(u.Version)
	if err != nil {
		return err
	}
	l.ManifestVersion = u.Version
	if result.Failure == nil {
		l.adopt(result)
	}
	l.changed = true
	return nil
}

// took records steps that the lifecycle took. What it forbids changes nothing:
// the server refuses it before it becomes a signal, and one sent by hand is
// on the record as judged.
func (l *agentLife) took(steps []agent.Transition, err error, cause string, who agent.Principal) {
	if err != nil {
		workflow.GetLogger(l.ctx).Info("ignored", "cause", cause, "error", err)
		return
	}
	for _, step := range steps {
		l.Transitions++
		recent := api.RecentTransition{Transition: step, Cause: cause, Principal: who, At: workflow.Now(l.ctx)}
		l.steps = append(l.steps, NumberedStep{Number: l.Transitions, RecentTransition: recent})
		l.Recent = append(l.Recent, recent)
	}
	if extra := len(l.Recent) - recentKept; extra > 0 {
		l.Recent = slices.Clone(l.Recent[extra:])
	}
}

func (l *agentLife) indexActive(task agent.TaskID) int {
	return slices.IndexFunc(l.Active, func(a api.AdmittedTask) bool { return a.Task == task })
}

// status answers the status query.
func (l *agentLife) status() (api.AgentStatus, error) {
	return api.AgentStatus{
		ID: l.in.ID, Owner: l.in.Owner,
		State: l.Lifecycle.State, Holds: l.Lifecycle.Holds, Terminating: l.Lifecycle.Terminating,
		ManifestVersion: l.ManifestVersion, Active: l.Active, Waiting: l.Waiting,
		Failure: l.Failure, Recent: l.Recent,
	}, nil
}

// mustContinue reports whether this run's history is long enough. Signals
// that have come are handled first: a new run would not see them.
func (l *agentLife) mustContinue() bool {
	if l.inbox.pending() {
		return false
	}
	if l.in.ContinueAfter > 0 && l.handled >= l.in.ContinueAfter {
		return true
	}
	return workflow.GetInfo(l.ctx).GetContinueAsNewSuggested()
}

// carry is the input of the next run.
func (l *agentLife) carry() api.AgentInput {
	next := l.in
	state := l.AgentState
	next.Carried = &state
	return next
}
