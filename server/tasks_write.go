package server

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/workflows/api"
)

// SubmitTask gives an agent a task.
func (s *Server) SubmitTask(ctx context.Context, r SubmitTaskRequestObject) (SubmitTaskResponseObject, error) {
	rec, m, err := s.agentForTask(ctx, refOf(r.Namespace, r.Agent))
	if err != nil {
		return nil, err
	}
	spec := agent.TaskSpec{
		TaskRef:         agent.TaskRef{Namespace: rec.Namespace, Agent: rec.Name, Task: newTaskID(s.cfg.Now())},
		AgentGeneration: rec.Generation, ManifestVersion: rec.ManifestVersion, SubmittedBy: callerFrom(ctx).principal,
	}
	given, err := s.findInputs(ctx, r.Body.Inputs)
	if err != nil {
		return nil, err
	}
	if spec.Params, spec.Inputs, err = m.CheckTask(r.Body.Params, given); err != nil {
		return nil, err
	}
	body, err := json.Marshal(r.Body)
	if err != nil {
		return nil, fmt.Errorf("write the request for its hash: %w", err)
	}
	idem := s.idempotent(spec.SubmittedBy, r.Params.IdempotencyKey, "task.submit "+rec.Ref.String(), body)
	if r.Params.DryRun {
		d := s.taskDeed(agent.ActTaskSubmit, rec, spec)
		if decision := s.ask(ctx, d); !decision.Allowed() {
			return nil, denied(decision)
		}
		now := s.cfg.Now()
		return SubmitTask200JSONResponse(taskShown(store.Task{
			Spec: spec, State: agent.TaskWaiting, Priority: rec.Spec.Priority, CreatedAt: now, UpdatedAt: now,
		})), nil
	}
	t, replayed, err := s.submit(ctx, agent.ActTaskSubmit, rec, spec, idem)
	if err != nil {
		return nil, err
	}
	if replayed {
		return SubmitTask200JSONResponse(taskShown(t)), nil
	}
	return SubmitTask201JSONResponse{Body: taskShown(t), Headers: SubmitTask201ResponseHeaders{Location: taskPath(t)}}, nil
}

// RetryTask runs an ended task again, as a new one.
func (s *Server) RetryTask(ctx context.Context, r RetryTaskRequestObject) (RetryTaskResponseObject, error) {
	old, err := s.cfg.Store.Task(ctx, agent.Namespace(r.Namespace), agent.TaskID(r.Task))
	if err != nil {
		return nil, err
	}
	if !old.State.Final() {
		return nil, agent.Errorf(agent.ErrConflict, "task %s is %s; cancel it or wait for its end before running it again", old.Spec.Task, old.State)
	}
	rec, m, err := s.agentForTask(ctx, agent.Ref{Namespace: old.Spec.Namespace, Name: old.Spec.Agent})
	if err != nil {
		return nil, err
	}
	spec := old.Spec
	spec.Task, spec.RetryOf, spec.SubmittedBy = newTaskID(s.cfg.Now()), old.Spec.Task, callerFrom(ctx).principal
	spec.AgentGeneration, spec.ManifestVersion = rec.Generation, rec.ManifestVersion
	if spec.Params, spec.Inputs, err = m.CheckTask(spec.Params, spec.Inputs); err != nil {
		return nil, err
	}
	idem := s.idempotent(spec.SubmittedBy, r.Params.IdempotencyKey, "task.retry "+old.Spec.TaskRef.String(), []byte(old.Spec.Task))
	t, replayed, err := s.submit(ctx, agent.ActTaskRetry, rec, spec, idem)
	if err != nil {
		return nil, err
	}
	if replayed {
		return RetryTask200JSONResponse(taskShown(t)), nil
	}
	return RetryTask201JSONResponse{Body: taskShown(t), Headers: RetryTask201ResponseHeaders{Location: taskPath(t)}}, nil
}

// CancelTask ends a task.
func (s *Server) CancelTask(ctx context.Context, r CancelTaskRequestObject) (CancelTaskResponseObject, error) {
	t, err := s.cfg.Store.Task(ctx, agent.Namespace(r.Namespace), agent.TaskID(r.Task))
	if err != nil {
		return nil, err
	}
	over := agent.Errorf(agent.ErrConflict, "task %s has ended: it is %s", t.Spec.Task, t.State)
	if t.State.Final() {
		return nil, over
	}
	d := deed{action: agent.ActTaskCancel, namespace: t.Spec.Namespace, agent: t.Spec.Agent, resource: string(t.Spec.Task),
		facts: map[string]any{"state": string(t.State), "submitted_by": string(t.Spec.SubmittedBy)}}
	err = s.change(ctx, d, func(ctx context.Context) error {
		id := t.Spec.WorkflowID()
		err := s.cfg.Workflows.Signal(ctx, id, api.SignalCancel, s.command(ctx, id, api.SignalCancel, reasonOf(r.Body)))
		if errors.Is(err, agent.ErrNotFound) {
			return over
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if t, err = s.cfg.Store.Task(ctx, t.Spec.Namespace, t.Spec.Task); err != nil {
		return nil, err
	}
	return CancelTask200JSONResponse(taskShown(t)), nil
}

// agentForTask gives an agent that takes tasks, and its current manifest.
func (s *Server) agentForTask(ctx context.Context, ref agent.Ref) (store.Agent, *agent.Manifest, error) {
	rec, err := s.cfg.Store.Agent(ctx, ref)
	if err != nil {
		return rec, nil, err
	}
	if rec.Terminating || rec.State == agent.Failed || rec.State == agent.Terminated {
		why := ""
		if rec.Failure != nil {
			why = ": " + rec.Failure.Cause
		}
		return rec, nil, agent.Errorf(agent.ErrConflict, "agent %s is %s and takes no tasks%s", ref, stateWords(rec), why)
	}
	canonical, err := s.cfg.Store.Manifest(ctx, rec.ID, rec.ManifestVersion)
	if err != nil {
		return rec, nil, err
	}
	m := new(agent.Manifest)
	if err := json.Unmarshal(canonical, m); err != nil {
		return rec, nil, fmt.Errorf("read the manifest of %s: %w", ref, err)
	}
	return rec, m, nil
}

// findInputs looks the inputs' blobs up; every one that is absent is named.
func (s *Server) findInputs(ctx context.Context, inputs map[string]TaskInput) ([]agent.InputRef, error) {
	var found []agent.InputRef
	var fields []agent.FieldError
	for name, in := range inputs {
		size, err := s.cfg.Blobs.Stat(ctx, agent.Digest(in.Digest))
		switch {
		case errors.Is(err, agent.ErrNotFound):
			fields = append(fields, agent.FieldError{
				Path: "inputs." + name + ".digest", Message: "there is no such blob; upload it first: PUT /v1/blobs/" + in.Digest,
			})
		case err != nil:
			return nil, err
		default:
			found = append(found, agent.InputRef{
				Name: name, Digest: agent.Digest(in.Digest), Bytes: size, Sensitivity: agent.Sensitivity(in.Sensitivity),
			})
		}
	}
	if len(fields) > 0 {
		slices.SortFunc(fields, func(a, b agent.FieldError) int { return strings.Compare(a.Path, b.Path) })
		return nil, agent.InvalidFields("task", fields)
	}
	slices.SortFunc(found, func(a, b agent.InputRef) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

// submit writes a task and starts its workflow.
func (s *Server) submit(ctx context.Context, action agent.Action, rec store.Agent, spec agent.TaskSpec, idem *store.Idempotency) (store.Task, bool, error) {
	var t store.Task
	var replayed bool
	err := s.change(ctx, s.taskDeed(action, rec, spec), func(ctx context.Context) error {
		var err error
		t, replayed, err = s.cfg.Store.CreateTask(ctx, store.NewTask{Spec: spec, Priority: rec.Spec.Priority, At: s.cfg.Now()}, idem)
		if err != nil {
			return err
		}
		return s.startTask(ctx, t, rec.Owner)
	})
	return t, replayed, err
}

// startTask starts a task's workflow and notes that it runs. When Temporal
// does not answer, the row stands and the reconciler starts it later.
func (s *Server) startTask(ctx context.Context, t store.Task, owner agent.Principal) error {
	if t.Started {
		return nil
	}
	err := s.cfg.Workflows.StartTask(ctx, api.TaskInput{Spec: t.Spec, Priority: t.Priority, Owner: owner})
	if errors.Is(err, agent.ErrUnavailable) {
		s.cfg.Logger.Warn("a task is started later", "task", t.Spec.TaskRef.String(), "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	return s.cfg.Store.MarkTaskStarted(ctx, t.Spec.Namespace, t.Spec.Task)
}

// taskDeed is an action on a task to be.
func (s *Server) taskDeed(action agent.Action, rec store.Agent, spec agent.TaskSpec) deed {
	inputs := make([]any, len(spec.Inputs))
	for i, in := range spec.Inputs {
		inputs[i] = map[string]any{"name": in.Name, "sensitivity": string(in.Sensitivity), "bytes": in.Bytes}
	}
	return deed{action: action, namespace: spec.Namespace, agent: spec.Agent, resource: string(spec.Task), facts: map[string]any{
		"owner": string(rec.Owner), "inputs": inputs,
	}}
}

func taskPath(t store.Task) string {
	return "/v1/namespaces/" + string(t.Spec.Namespace) + "/tasks/" + string(t.Spec.Task)
}

// newTaskID makes a task ID that sorts by time: 48 bits of milliseconds and 32
// random ones, 16 characters in all.
func newTaskID(now time.Time) agent.TaskID {
	var b [12]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	if _, err := rand.Read(b[6:10]); err != nil {
		panic(err) // crypto/rand does not fail on the systems we run on
	}
	return agent.TaskID(strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:10])))
}
