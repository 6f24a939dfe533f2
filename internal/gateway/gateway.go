package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox/initproto"
)

// Task is what GET /v1/task answers: what a program may know of its task.
type Task struct {
	Namespace agent.Namespace `json:"namespace"`
	Agent     agent.Name      `json:"agent"`
	Task      agent.TaskID    `json:"task"`
	Attempt   int             `json:"attempt"` // 1 for the first
	Params    json.RawMessage `json:"params,omitempty"`
	Inputs    []Input         `json:"inputs,omitempty"`
}

// Input is one input of a task.
type Input struct {
	Name      string       `json:"name"`
	Bytes     int64        `json:"bytes"`
	Digest    agent.Digest `json:"digest,omitempty"`
	MediaType string       `json:"media_type,omitempty"`
}

// Progress is how far a program says it is.
type Progress struct {
	Percent float64 // 0 to 100
	Message string  // one line without control characters, at most 1 KiB
	At      time.Time
}

// Init hears what init says, or the program in its name. Its methods may be
// called at any time, from any goroutine, and more than once.
type Init interface {
	// Started says that the program was started.
	Started(s initproto.Started)
	// Alive is a sign of life; the answer goes back.
	Alive(a initproto.Alive) initproto.AliveReply
	// Exited says that the program is over. The call is answered when it returns.
	Exited(e initproto.Exit)
}

// Checkpoints keeps what a program wants its next attempt to have.
type Checkpoints interface {
	// Load gives what was saved last, by this attempt or an earlier one; the
	// error is of kind ErrNotFound when nothing was.
	Load(ctx context.Context) ([]byte, error)
	// Save keeps data, at most MaxCheckpoint bytes, in place of what was kept.
	Save(ctx context.Context, data []byte) error
}

// Guard passes a call through policy and audit. It is asked before the action
// is done; an error, of kind ErrDenied when policy forbids it, is the answer.
// Otherwise done is called once with what came of it.
type Guard func(ctx context.Context, action agent.Action, resource string) (done func(error), err error)

// Config is what a Gateway is made of.
type Config struct {
	Dir  string // holds the socket; made if it is not there, with mode 0711
	Task Task
	Init initproto.Task // what init is to do
	Says Init
	// OpenInput opens one of Task.Inputs.
	OpenInput func(ctx context.Context, name string) (io.ReadSeekCloser, error)
	// OnProgress is told of progress, at most ten times a second.
	OnProgress  func(ctx context.Context, p Progress)
	Checkpoints Checkpoints
	// Guard may be nil as long as no route needs one; a route that does is
	// refused then.
	Guard  Guard
	Logger *slog.Logger
	Now    func() time.Time
}

func (c Config) check() error {
	if c.Dir == "" || c.Says == nil || c.OpenInput == nil || c.OnProgress == nil || c.Checkpoints == nil ||
		c.Logger == nil || c.Now == nil {
		return errors.New("gateway: the configuration is incomplete")
	}
	return nil
}

// Gateway is the served socket of one sandbox.
type Gateway struct {
	cfg    Config
	server *http.Server
	conns  *connections
	routes map[string]route // a path that ends in "/" stands for all below it
	cancel context.CancelFunc
	served sync.WaitGroup // the accepting goroutine

	requests *pace // of everyone but init
	progress *pace
	saves    *pace
	inputs   *pace         // of pieces of inputs
	saving   chan struct{} // has one element while a checkpoint is taken

	mu      sync.Mutex
	closing bool
	calls   sync.WaitGroup
}

// Open makes the socket, in place of one that an earlier process left, and
// serves it until Close. Ctx carries values only: its end ends nothing.
func Open(ctx context.Context, cfg Config) (*Gateway, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	listener, err := listen(ctx, cfg.Dir)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g := &Gateway{
		cfg: cfg, cancel: cancel, conns: newConnections(ctx, listener),
		requests: newPace(requestsPerSecond, requestsBurst), progress: newPace(progressPerSecond, progressPerSecond),
		saves: newPace(savesPerSecond, savesBurst), inputs: newPace(piecesPerSecond, piecesPerSecond),
		saving: make(chan struct{}, 1),
	}
	g.routes = g.table()
	g.server = newServer(ctx, g)
	g.served.Go(func() {
		if err := g.server.Serve(g.conns); !errors.Is(err, http.ErrServerClosed) {
			cfg.Logger.Error("a gateway serves no longer", "dir", cfg.Dir, "error", err)
		}
	})
	return g, nil
}

// Close removes the socket, closes all connections and waits for the calls
// under way. It must not be called from within one. Closing twice is harmless.
func (g *Gateway) Close() error {
	g.mu.Lock()
	g.closing = true
	g.mu.Unlock()
	err := g.server.Close()
	g.cancel()
	g.served.Wait()
	g.calls.Wait()
	return err
}

// begin counts a call in, unless the gateway is closing.
func (g *Gateway) begin() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return false
	}
	g.calls.Add(1)
	return true
}
