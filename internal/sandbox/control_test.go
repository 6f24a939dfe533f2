package sandbox

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"symbi.dev/symbi/agent"
)

// counting is a program that uses all the CPU it is given and says so.
const counting = `
import time
n, said = 0, time.monotonic()
while True:
    n += 1
    if time.monotonic() - said > 0.02:
        said = time.monotonic()
        print(n)
`

// awaitLog waits until a sandbox's log reaches beyond an offset.
func awaitLog(t *testing.T, sb *Sandbox, offset int64) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	written, err := sb.LogGrown(ctx, offset)
	if err != nil {
		t.Fatalf("the log does not grow beyond %d: %v", offset, err)
	}
	return written
}

// pass lets time go by; what is tested is that nothing happens meanwhile.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

func TestAFrozenProgramStandsStillAndItsTimeoutWaits(t *testing.T) {
	both(t, func(t *testing.T, tier agent.Tier) {
		const timeout, pause = 3 * time.Second, 2 * time.Second
		s := script(tier, agent.Python, counting)
		s.Resources.ExecutionTimeout = agent.Duration(timeout)
		sb := start(t, s)
		awaitLog(t, sb, 0)
		if err := sb.Freeze(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if err := sb.Freeze(t.Context(), 2); err != nil {
			t.Errorf("freeze again: %v", err)
		}
		<-sb.identified
		cpu, written := cpuTime(sb), awaitLog(t, sb, 0)
		pass(t, pause)
		used := cpuTime(sb) - cpu
		after, _ := sb.logSize()
		if used > 0 || after != written {
			t.Errorf("frozen for %s it used %s of CPU and wrote %d bytes", pause, used, after-written)
		}
		if sb.ended() {
			t.Fatal("it ended while frozen")
		}
		if err := sb.Thaw(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		awaitLog(t, sb, after)
		o := outcomeOf(t, sb)
		if o.Failure == nil || o.Failure.Code != agent.CodeTimeout {
			t.Errorf("failure %v", o.Failure)
		}
		if u := o.Usage; u.FrozenSeconds < pause.Seconds() || u.WallSeconds < (timeout+pause).Seconds() {
			t.Errorf("usage %+v", u)
		}
	})
}

// cpuTime is what the container's accounts say now.
func cpuTime(sb *Sandbox) time.Duration {
	sb.account()
	sb.mu.Lock()
	defer sb.mu.Unlock()
	return sb.rec.Used.CPU
}

func TestStopGivesGraceAndThenKills(t *testing.T) {
	both(t, func(t *testing.T, tier agent.Tier) {
		for name, test := range map[string]struct {
			code  string
			grace time.Duration
			last  string
		}{
			"one that obeys":   {`trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done`, 10 * time.Second, "o bye"},
			"one that ignores": {`trap '' TERM; echo ready; while :; do sleep 0.01; done`, 300 * time.Millisecond, "o ready"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := shell(tier, test.code)
				s.Program.StopGrace = agent.Duration(test.grace)
				sb := start(t, s)
				awaitLog(t, sb, 0)
				begin := time.Now()
				if err := sb.Stop(t.Context(), "not needed"); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin); took > 8*time.Second {
					t.Errorf("with %s of grace it took %s", test.grace, took)
				}
				o := outcomeOf(t, sb)
				if !o.Cancelled || o.Failure != nil {
					t.Errorf("cancelled %t, failure %v", o.Cancelled, o.Failure)
				}
				if got := logOf(t, sb); !slices.Contains(got, test.last) {
					t.Errorf("log %q", got)
				}
				if err := sb.Stop(t.Context(), "again"); err != nil {
					t.Errorf("stop again: %v", err)
				}
			})
		}
	})
}

func TestAFrozenProgramIsStoppedWithoutRunning(t *testing.T) {
	both(t, func(t *testing.T, tier agent.Tier) {
		s := shell(tier, `trap 'echo bye; exit 0' TERM; echo ready; while :; do echo on; sleep 0.01; done`)
		s.Program.StopGrace = agent.Duration(10 * time.Second)
		sb := start(t, s)
		awaitLog(t, sb, 0)
		if err := sb.Freeze(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		before := logLength(t, sb)
		begin := time.Now()
		if err := sb.Stop(t.Context(), "not needed"); err != nil {
			t.Fatal(err)
		}
		t.Logf("it took %s", time.Since(begin))
		if o := outcomeOf(t, sb); !o.Cancelled || o.Failure != nil {
			t.Errorf("cancelled %t, failure %v", o.Cancelled, o.Failure)
		}
		if after := logLength(t, sb); after != before {
			t.Errorf("it wrote %d bytes on its way out", after-before)
		}
	})
}

// logLength gives the length of the log so far.
func logLength(t *testing.T, sb *Sandbox) int64 {
	t.Helper()
	written, _ := sb.logSize()
	return written
}

func TestAHeldProgramIsNotStarted(t *testing.T) {
	t.Parallel()
	s := shell(agent.TierDocker, "echo ran")
	s.Frozen, s.Seq = true, 5
	sb := start(t, s)
	if left := leftovers(t, node.Driver, s.Lease); len(left) > 0 {
		t.Errorf("while held there is %q", left)
	}
	if err := sb.Thaw(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, node.Driver, s.Lease); len(left) > 0 {
		t.Errorf("an order of the past launched it: %q", left)
	}
	if err := sb.Thaw(t.Context(), 6); err != nil {
		t.Fatal(err)
	}
	if o := outcomeOf(t, sb); o.Failure != nil || !slices.Equal(logOf(t, sb), []string{"o ran"}) {
		t.Errorf("failure %v, log %q", o.Failure, logOf(t, sb))
	}
}

func TestAHeldProgramIsStopped(t *testing.T) {
	t.Parallel()
	s := shell(agent.TierDocker, "echo ran")
	s.Frozen = true
	sb := start(t, s)
	if err := sb.Stop(t.Context(), "not needed"); err != nil {
		t.Fatal(err)
	}
	if o := outcomeOf(t, sb); !o.Cancelled || !o.StartedAt.IsZero() {
		t.Errorf("outcome %+v", o)
	}
	if err := sb.Thaw(t.Context(), 0); err != nil {
		t.Errorf("thaw: %v", err)
	}
	if left := leftovers(t, node.Driver, s.Lease); len(left) > 0 {
		t.Errorf("it was launched: %q", left)
	}
}

func TestOrdersOfThePastAreNotObeyed(t *testing.T) {
	t.Parallel()
	s := shell(agent.TierDocker, "sleep 60")
	s.Seq = 10
	sb := start(t, s)
	for _, order := range []struct {
		freeze bool
		seq    int64
		frozen bool
	}{{true, 9, false}, {true, 11, true}, {false, 10, true}, {false, 12, false}, {true, 12, true}, {false, 0, false}} {
		give := sb.Thaw
		if order.freeze {
			give = sb.Freeze
		}
		if err := give(t.Context(), order.seq); err != nil {
			t.Fatal(err)
		}
		if frozen := !sb.rec.FrozenSince.IsZero(); frozen != order.frozen {
			t.Errorf("after order %+v: frozen %t", order, frozen)
		}
	}
}

func TestStopWhileItsInputIsFetched(t *testing.T) {
	t.Parallel()
	fetching := make(chan struct{})
	s := shell(agent.TierDocker, "echo ran")
	s.Inputs = []Input{{Name: "large", Put: func(ctx context.Context, _ string) error {
		close(fetching)
		<-ctx.Done()
		return ctx.Err()
	}}}
	var sb *Sandbox
	var err error
	var wg sync.WaitGroup
	wg.Go(func() { sb, err = node.Start(t.Context(), s) })
	<-fetching
	early, ok := node.Sandbox(s.Lease)
	if !ok {
		t.Fatal("it cannot be told to stop")
	}
	if err := early.Stop(t.Context(), "not needed"); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if o := outcomeOf(t, sb); !o.Cancelled {
		t.Errorf("outcome %+v", o)
	}
	removeWhole(t, node.Driver, s.Lease)
}

func TestAnInputThatCannotBeHad(t *testing.T) {
	t.Parallel()
	s := shell(agent.TierDocker, "true")
	s.Inputs = []Input{{Name: "lost", Put: func(context.Context, string) error {
		return agent.Errorf(agent.ErrNotFound, "blob is gone")
	}}}
	_, err := node.Start(t.Context(), s)
	var f *agent.Failure
	if !errors.As(err, &f) || f.Code != agent.CodeBlobMissing || !strings.Contains(f.Cause, "lost") {
		t.Errorf("got %v", err)
	}
	removeWhole(t, node.Driver, s.Lease)
}

func TestALeaseIsStartedOnce(t *testing.T) {
	t.Parallel()
	s := shell(agent.TierDocker, "echo ran")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := node.Start(t.Context(), s); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	sb := start(t, s)
	o := outcomeOf(t, sb)
	if got := logOf(t, sb); o.Failure != nil || !slices.Equal(got, []string{"o ran"}) {
		t.Errorf("failure %v, log %q", o.Failure, got)
	}
	o.Warnings = []string{"kept"}
	if err := sb.Settle(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	expectGone(t, node.Driver, s.Lease, sb.container)
	again, err := node.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	kept, settled := again.Settled()
	if !settled || !slices.Equal(kept.Warnings, o.Warnings) {
		t.Errorf("settled %t, outcome %+v", settled, kept)
	}
	if _, err := again.ReadLog(0, 1000); !errors.Is(err, agent.ErrNotFound) {
		t.Errorf("its log: %v", err)
	}
	if got := starts(t, node.Driver, s.Lease); got != 1 {
		t.Errorf("it was started %d times", got)
	}
	nobody := func(agent.LeaseID) bool { return false }
	if err := node.sweep(t.Context(), nobodyBut(s.Lease, nobody), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(node.folders.settled(s.Lease)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the outcome is still kept: %v", err)
	}
}

// nobodyBut knows every lease but one, so that a sweep leaves other tests alone.
func nobodyBut(lease agent.LeaseID, known func(agent.LeaseID) bool) func(agent.LeaseID) bool {
	return func(l agent.LeaseID) bool { return l != lease || known(l) }
}
