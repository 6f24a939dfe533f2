package sandbox

import (
	"context"
	"encoding/json"
	"io"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox/initproto"
)

// Gateways serves the sockets through which sandboxes reach the runtime.
type Gateways interface {
	// Open serves the socket of one sandbox until it is closed. A socket that
	// an earlier worker left at its path is replaced.
	Open(ctx context.Context, s Session) (io.Closer, error)
}

// Session is one sandbox as its gateway sees it.
type Session struct {
	Lease   agent.LeaseID
	Task    agent.TaskRef
	Attempt int
	Dir     string         // where the socket is made, named as initproto.Socket is
	Init    initproto.Task // the answer to initproto.RouteTask
	Params  json.RawMessage
	Inputs  map[string]string // the inputs' files on the host
	Events  Events
}

// Events is what init says over the socket. The program holds the same socket,
// so that none of it is more than a claim. All methods may be called at any
// time, from any goroutine, and more than once.
type Events interface {
	// Started says that the program was started.
	Started(s initproto.Started)
	// Alive is a sign of life; the answer goes back.
	Alive(a initproto.Alive) initproto.AliveReply
	// Exited says that the program is over and init about to leave. The call
	// returns when the sandbox's accounts have been read, so that init should
	// wait for its answer, a second at most.
	Exited(e initproto.Exit)
}
