package cluster

import (
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"symbi.dev/symbi/agent"
)

// Embedded is the NATS server of `symbi dev`. It listens on no port: clients
// in the same process connect through memory.
type Embedded struct{ server *server.Server }

// startWait is how long an embedded server may take to come up.
const startWait = 5 * time.Second

// StartEmbedded starts a server whose clients must present token.
func StartEmbedded(token string) (*Embedded, error) {
	s, err := server.NewServer(&server.Options{
		ServerName:    "symbi-dev",
		DontListen:    true,
		NoSigs:        true,
		NoLog:         true,
		Authorization: token,
	})
	if err != nil {
		return nil, agent.Errorf(agent.ErrUnavailable, "make the embedded NATS server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(startWait) {
		s.Shutdown()
		return nil, agent.Errorf(agent.ErrUnavailable, "the embedded NATS server did not come up within %s", startWait)
	}
	return &Embedded{server: s}, nil
}

// Stop ends the server and waits until it has ended.
func (e *Embedded) Stop() {
	e.server.Shutdown()
	e.server.WaitForShutdown()
}
