package sandbox

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/docker/docker/api/types/container"

	"symbi.dev/symbi/agent"
)

// faultyEngine is the real engine with faults in the way.
type faultyEngine struct {
	engine
	startFails  error // after it has started the container, or before
	startsFirst bool
	waitsFail   atomic.Int32 // so many answers to wait are lost
	killsFail   atomic.Int32
}

func (f *faultyEngine) ContainerStart(ctx context.Context, id string, o container.StartOptions) error {
	if f.startsFirst {
		if err := f.engine.ContainerStart(ctx, id, o); err != nil {
			return err
		}
	}
	if f.startFails != nil {
		return f.startFails
	}
	return f.engine.ContainerStart(ctx, id, o)
}

func (f *faultyEngine) ContainerWait(ctx context.Context, id string, until container.WaitCondition) (<-chan container.WaitResponse, <-chan error) {
	if f.waitsFail.Add(-1) >= 0 {
		errs := make(chan error, 1)
		errs <- errors.New("unexpected EOF")
		return nil, errs
	}
	return f.engine.ContainerWait(ctx, id, until)
}

func (f *faultyEngine) ContainerKill(ctx context.Context, id, signal string) error {
	if f.killsFail.Add(-1) >= 0 {
		return errors.New("the engine is busy")
	}
	return f.engine.ContainerKill(ctx, id, signal)
}

// onFaulty opens a driver on a faulty engine.
func onFaulty(t *testing.T, f *faultyEngine) *Driver {
	t.Helper()
	e, err := dial(DefaultEngineHost)
	if err != nil {
		t.Fatal(err)
	}
	f.engine = e
	d, err := open(t.Context(), testConfig(shortDir(t), node.init), f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestAnEngineThatIsRestartedMeanwhile(t *testing.T) {
	t.Parallel()
	f := &faultyEngine{}
	f.waitsFail.Store(3)
	sb := startOn(t, onFaulty(t, f), shell(agent.TierDocker, "echo ran"))
	if o := outcomeOf(t, sb); o.Failure != nil || !slices.Equal(logOf(t, sb), []string{"o ran"}) {
		t.Errorf("failure %v, log %q", o.Failure, logOf(t, sb))
	}
}

func TestAStartWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	f := &faultyEngine{startFails: errors.New("unexpected EOF"), startsFirst: true}
	sb := startOn(t, onFaulty(t, f), shell(agent.TierDocker, "echo ran"))
	if o := outcomeOf(t, sb); o.Failure != nil || !slices.Equal(logOf(t, sb), []string{"o ran"}) {
		t.Errorf("failure %v, log %q", o.Failure, logOf(t, sb))
	}
}

func TestAStartThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	d := onFaulty(t, &faultyEngine{startFails: errors.New("OCI runtime create failed: out of luck")})
	s := shell(agent.TierDocker, "echo ran")
	_, err := d.Start(t.Context(), s)
	var failure *agent.Failure
	if !errors.As(err, &failure) || failure.Code != agent.CodeSandboxStart || !strings.Contains(failure.Cause, "out of luck") {
		t.Errorf("got %v", err)
	}
	removeWhole(t, d, s.Lease)
}

func TestAStopThatTheEngineDoesNotTake(t *testing.T) {
	t.Parallel()
	f := &faultyEngine{}
	f.killsFail.Store(1)
	sb := startOn(t, onFaulty(t, f), shell(agent.TierDocker, "echo ready; sleep 60"))
	awaitLog(t, sb, 0)
	if err := sb.Stop(t.Context(), "not needed"); err != nil {
		t.Error(err)
	}
	// Init hears of it over its socket; if not, it is killed when the grace is over.
	if f.killsFail.Load() == 1 {
		t.Error("the engine was not asked")
	}
	if o := outcomeOf(t, sb); !o.Cancelled {
		t.Errorf("outcome %+v", o)
	}
}
