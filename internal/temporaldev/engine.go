//go:build dev

package temporaldev

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/temporal"
	"go.uber.org/dig"
	"google.golang.org/grpc"
)

// abandonAfter bounds the stop of a server that never ran.
const abandonAfter = 10 * time.Second

// engine is Temporal's own server, all services of it.
type engine struct {
	frontend *grpc.Server
	clients  *systemClients
	server   *temporal.ServerFx
	services *temporal.ServerImpl
	started  bool
}

// launch starts one. What it gives can be stopped even if it failed. It works
// in a goroutine of its own, as Temporal ends the one in which it meets what it
// cannot live with: see logger.Fatal.
func launch(n network, g guard, c *config.Config, l log.Logger) (*engine, error) {
	e := &engine{clients: newSystemClients(n, l)}
	done := make(chan error, 1)
	go func() {
		err := errors.New("temporal gave up")
		defer func() { done <- err }()
		err = e.start(n, g, c, l)
	}()
	return e, <-done
}

func (e *engine) start(n network, g guard, c *config.Config, l log.Logger) (err error) {
	e.server, err = temporal.NewServerFx(e.compose(n, g),
		temporal.WithConfig(c),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(members()),
		temporal.WithLogger(l),
		temporal.WithDynamicConfigClient(tuning()),
	)
	if err != nil {
		return fmt.Errorf("compose Temporal: %w", dig.RootCause(err)) // the rest names Temporal's constructors
	}
	if err := e.server.Start(); err != nil {
		return fmt.Errorf("start Temporal: %w", err)
	}
	e.started = true
	e.clients.GetSystemClient() // the frontend is healthy once this has reached it
	return nil
}

// stop ends all services and waits for them. Temporal's own Stop leaves those
// alone that came up before another failed to.
func (e *engine) stop() error {
	defer e.clients.close()
	e.clients.stopWorkers()
	switch {
	case e.started:
		return e.server.Stop()
	case e.services != nil:
		ctx, cancel := context.WithTimeout(context.Background(), abandonAfter)
		defer cancel()
		return e.services.Stop(ctx)
	}
	return nil
}
