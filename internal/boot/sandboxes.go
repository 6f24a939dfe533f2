package boot

import (
	"context"
	"io"
	"os"
	"path/filepath"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/cluster"
	"symbi.dev/symbi/internal/gateway"
	"symbi.dev/symbi/internal/sandbox"
	"symbi.dev/symbi/internal/store"
)

// sandboxes is a node's driver as the worker and the followers of logs see it.
type sandboxes struct{ *sandbox.Driver }

// openSandboxes opens the driver and takes over what an earlier process of
// this node left running.
func (e *engines) openSandboxes(ctx context.Context, c nodeConfig, s *stack) (sandboxes, error) {
	init, err := initBinary(c.initBinary)
	if err != nil {
		return sandboxes{}, err
	}
	d, err := sandbox.Open(ctx, sandbox.Config{
		DataDir: c.dataDir, Installation: e.installation, Node: c.id, InitBinary: init,
		Runtimes: sandbox.DefaultRuntimes(), Images: sandbox.DefaultImages(), LeaseTTL: c.leaseTTL,
		Gateways: &gateways{e},
		Logger:   e.logger, Now: clock,
	})
	if err != nil {
		return sandboxes{}, err
	}
	s.push(d.Close)
	if err := d.Adopt(ctx); err != nil {
		// What cannot be taken over now is looked at again when its task asks
		// for it; the node works meanwhile.
		e.logger.Error("a sandbox was not taken over", "error", err)
	}
	return sandboxes{d}, nil
}

// initBinary finds symbi-init: the one named, or the one beside this binary.
func initBinary(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", agent.Errorf(agent.ErrUnavailable, "find symbi-init: %w; name it with --init-binary", err)
	}
	return filepath.Join(filepath.Dir(self), "symbi-init"), nil
}

// ReadLog answers a question for a part of a log.
func (b sandboxes) ReadLog(_ context.Context, q cluster.LogQuestion) (cluster.LogAnswer, error) {
	box, ok := b.Sandbox(q.Lease)
	if !ok {
		return cluster.LogAnswer{}, agent.Errorf(agent.ErrNotFound, "lease %s has no sandbox here", q.Lease)
	}
	chunk, err := box.ReadLog(q.Offset, q.MaxSize)
	return cluster.LogAnswer{Offset: chunk.Offset, Bytes: chunk.Bytes, End: chunk.End}, err
}

// gateways opens the sockets of sandboxes.
type gateways struct{ engines *engines }

// Open serves the socket of one sandbox.
func (g *gateways) Open(ctx context.Context, s sandbox.Session) (io.Closer, error) {
	e := g.engines
	task := gateway.Task{Namespace: s.Task.Namespace, Agent: s.Task.Agent, Task: s.Task.Task, Attempt: s.Attempt, Params: s.Params}
	for name, path := range s.Inputs {
		input := gateway.Input{Name: name}
		if info, err := os.Stat(path); err == nil {
			input.Bytes = info.Size()
		}
		task.Inputs = append(task.Inputs, input)
	}
	return gateway.Open(ctx, gateway.Config{
		Dir: s.Dir, Task: task, Init: s.Init, Says: s.Events,
		OpenInput: func(_ context.Context, name string) (io.ReadSeekCloser, error) {
			path, ok := s.Inputs[name]
			if !ok {
				return nil, agent.Errorf(agent.ErrNotFound, "the task has no input %q", name)
			}
			return os.Open(path)
		},
		OnProgress: func(ctx context.Context, p gateway.Progress) {
			err := e.store.ProjectTask(ctx, store.TaskProjection{
				Namespace: s.Task.Namespace, Task: s.Task.Task, Attempt: s.Attempt, At: p.At,
				Progress: &store.Progress{Percent: p.Percent, Message: p.Message, At: p.At},
			})
			if err != nil {
				e.logger.Warn("a program's progress was not written", "task", s.Task.String(), "error", err)
				return
			}
			e.bus.AnnounceTask(cluster.TaskChanged{Task: s.Task})
		},
		Checkpoints: checkpoint{store: e.store, task: s.Task, attempt: s.Attempt},
		Logger:      e.logger, Now: clock,
	})
}

// checkpoint is what one attempt of a task keeps for the next.
type checkpoint struct {
	store   store.Tasks
	task    agent.TaskRef
	attempt int
}

// Load gives what was saved last.
func (c checkpoint) Load(ctx context.Context) ([]byte, error) {
	return c.store.Checkpoint(ctx, c.task.Namespace, c.task.Task)
}

// Save replaces what was saved.
func (c checkpoint) Save(ctx context.Context, data []byte) error {
	return c.store.SaveCheckpoint(ctx, c.task.Namespace, c.task.Task, c.attempt, data)
}
