package sandbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"symbi.dev/symbi/agent"
)

// successor opens the driver that comes after a worker's death.
func successor(t *testing.T, dir, name string, tier agent.Tier) (*Driver, Spec) {
	t.Helper()
	cfg := testConfig(dir, node.init)
	s := scenarioSpec(name, tier, &cfg)
	d := openOn(t, cfg)
	t.Cleanup(func() { removeWhole(t, d, s.Lease) })
	if err := d.Adopt(t.Context()); err != nil {
		t.Fatalf("adopt: %v", err)
	}
	return d, s
}

// slowLog is what slowLines prints.
func slowLog() []string {
	var lines []string
	for i := range 40 {
		lines = append(lines, fmt.Sprintf("o line %d", i+1))
	}
	return lines
}

// expectWhole checks that the program ran once, from its beginning to its end.
func expectWhole(t *testing.T, d *Driver, s Spec, want []string) {
	t.Helper()
	sb := startOn(t, d, s)
	o := outcomeOf(t, sb)
	if o.Failure != nil || o.Cancelled || string(o.Result) != "\"whole\"\n" {
		t.Errorf("failure %v, result %q", o.Failure, o.Result)
	}
	if got := logOf(t, sb); !slices.Equal(got, want) {
		t.Errorf("log %q", got)
	}
	if n := starts(t, d, s.Lease); n != 1 {
		t.Errorf("it was started %d times", n)
	}
	if u := o.Usage; u.WallSeconds <= 0 {
		t.Errorf("usage %+v", u)
	}
}

func TestAWorkersDeathDisturbsNothing(t *testing.T) {
	for _, name := range []string{"running", "dies after start"} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, tier agent.Tier) {
				dir := shortDir(t)
				killedWorker(t, dir, name, tier)
				d, s := successor(t, dir, name, tier)
				if _, ok := d.Sandbox(s.Lease); !ok {
					t.Error("it was not adopted")
				}
				expectWhole(t, d, s, slowLog())
			})
		})
	}
}

func TestAProgramThatEndsWithoutAWorker(t *testing.T) {
	both(t, func(t *testing.T, tier agent.Tier) {
		dir := shortDir(t)
		killedWorker(t, dir, "short", tier)
		awaitOver(t, dir, "short", tier)
		d, s := successor(t, dir, "short", tier)
		expectWhole(t, d, s, []string{"o ran"})
	})
}

func TestAWorkerThatDiesBeforeTheStart(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dies before create", "dies before start"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := shortDir(t)
			killedWorker(t, dir, name, agent.TierDocker)
			d, s := successor(t, dir, name, agent.TierDocker)
			if left := leftovers(t, d, s.Lease); len(left) > 0 {
				t.Errorf("after adoption there is %q", left)
			}
			expectWhole(t, d, s, slowLog())
		})
	}
}

func TestAFrozenProgramIsAdopted(t *testing.T) {
	for _, name := range []string{"frozen", "frozen unrecorded"} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, tier agent.Tier) {
				dir := shortDir(t)
				killedWorker(t, dir, name, tier)
				d, s := successor(t, dir, name, tier)
				s.Frozen, s.Seq = true, 2
				sb := startOn(t, d, s)
				before := logLength(t, sb)
				pass(t, 200*time.Millisecond)
				if after := logLength(t, sb); after != before || sb.ended() {
					t.Errorf("it ran on: %d bytes", after-before)
				}
				s.Frozen, s.Seq = false, 3
				expectWhole(t, d, s, slowLog())
				if o := outcomeOf(t, sb); o.Usage.FrozenSeconds < 0.2 {
					t.Errorf("usage %+v", o.Usage)
				}
			})
		})
	}
}

func TestAFrozenProgramWhoseWorkerWasAwayForTooLong(t *testing.T) {
	both(t, func(t *testing.T, tier agent.Tier) {
		dir := shortDir(t)
		killedWorker(t, dir, "frozen too long", tier)
		pass(t, 1500*time.Millisecond)
		d, s := successor(t, dir, "frozen too long", tier)
		sb := startOn(t, d, s)
		written := logLength(t, sb)
		o := outcomeOf(t, sb)
		if o.Failure == nil || o.Failure.Class != agent.FailSandbox || o.Failure.Code != agent.CodeFenced {
			t.Errorf("failure %v", o.Failure)
		}
		if after := logLength(t, sb); after != written {
			t.Errorf("it ran on: %d bytes", after-written)
		}
	})
}

func TestAProgramWithoutAWorkerForTooLongEndsItself(t *testing.T) {
	both(t, func(t *testing.T, tier agent.Tier) {
		dir := shortDir(t)
		killedWorker(t, dir, "fenced", tier)
		awaitOver(t, dir, "fenced", tier)
		d, s := successor(t, dir, "fenced", tier)
		o := outcomeOf(t, startOn(t, d, s))
		if o.Failure == nil || o.Failure.Class != agent.FailSandbox || o.Failure.Code != agent.CodeFenced {
			t.Errorf("failure %v", o.Failure)
		}
	})
}

func TestATimeoutOutlivesTheWorker(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	killedWorker(t, dir, "timeout", agent.TierDocker)
	d, s := successor(t, dir, "timeout", agent.TierDocker)
	o := outcomeOf(t, startOn(t, d, s))
	if o.Failure == nil || o.Failure.Code != agent.CodeTimeout || o.Usage.WallSeconds < 2 {
		t.Errorf("failure %v, usage %+v", o.Failure, o.Usage)
	}
}

func TestAContainerThatSomebodyRemovedIsNotStartedAgain(t *testing.T) {
	t.Parallel()
	const name = "container is removed"
	dir := shortDir(t)
	killedWorker(t, dir, name, agent.TierDocker)
	cfg := testConfig(dir, node.init)
	s := scenarioSpec(name, agent.TierDocker, &cfg)
	container := "symbi-" + cfg.Installation + "-" + string(s.Lease)
	if err := node.engine.ContainerRemove(t.Context(), container, removeOptions); err != nil {
		t.Fatal(err)
	}
	d, s := successor(t, dir, name, agent.TierDocker)
	o := outcomeOf(t, startOn(t, d, s))
	if o.Failure == nil || o.Failure.Code != agent.CodeSandboxDied || !strings.Contains(o.Failure.Cause, "removed") {
		t.Errorf("failure %v", o.Failure)
	}
	if n := starts(t, d, s.Lease); n != 1 {
		t.Errorf("it was started %d times", n)
	}
}

func TestWhatNobodyKnowsIsSwept(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	killedWorker(t, dir, "running", agent.TierDocker)
	d, s := successor(t, dir, "running", agent.TierDocker)
	yes, no := func(agent.LeaseID) bool { return true }, func(agent.LeaseID) bool { return false }
	for _, sweep := range []struct {
		known  func(agent.LeaseID) bool
		before time.Time
		left   bool
	}{
		{yes, time.Now().Add(time.Hour), true},
		{no, time.Now().Add(-time.Hour), true},
		{no, time.Now().Add(time.Hour), false},
	} {
		if err := d.sweep(t.Context(), sweep.known, sweep.before); err != nil {
			t.Fatal(err)
		}
		if left := leftovers(t, d, s.Lease); (len(left) > 0) != sweep.left {
			t.Errorf("left: %q", left)
		}
	}
}

// awaitOver waits until a dead worker's container is over.
func awaitOver(t *testing.T, dir, name string, tier agent.Tier) {
	t.Helper()
	cfg := testConfig(dir, node.init)
	s := scenarioSpec(name, tier, &cfg)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	over, errs := node.engine.ContainerWait(ctx, "symbi-"+cfg.Installation+"-"+string(s.Lease), container.WaitConditionNotRunning)
	select {
	case <-over:
	case err := <-errs:
		t.Fatal(err)
	}
}
