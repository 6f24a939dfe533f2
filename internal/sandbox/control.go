package sandbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"symbi.dev/symbi/agent"
)

// killMargin is how much longer than the program's grace init has before the
// container is killed: init kills the program itself and leaves a record.
const killMargin = 400 * time.Millisecond

// Freeze makes the program stand still: it uses no CPU, and its timeout does
// not count on. Freezing what is frozen, held or over changes nothing. Seq
// orders it among Freeze, Thaw and Start: what is older than what was obeyed
// is not done; 0 is done always.
func (sb *Sandbox) Freeze(ctx context.Context, seq int64) error {
	sb.control.Lock()
	defer sb.control.Unlock()
	if !sb.takes(seq) || !sb.rec.FrozenSince.IsZero() {
		return nil
	}
	err := sb.freeze(ctx)
	if err != nil && !sb.overOr(ctx, err) {
		return sb.d.controlError("freeze", err)
	}
	sb.mu.Lock()
	defer sb.mu.Unlock()
	if err == nil && !sb.ended() {
		sb.rec.freeze(sb.d.cfg.Now())
		sb.save()
		sb.nudge()
	}
	return nil
}

// Thaw lets a frozen program go on, and launches one that was held. The other
// rules are those of Freeze. That a held one cannot be launched is its
// outcome, not an error.
func (sb *Sandbox) Thaw(ctx context.Context, seq int64) error {
	sb.control.Lock()
	defer sb.control.Unlock()
	sb.mu.Lock()
	held := sb.held
	sb.mu.Unlock()
	if held && !sb.ended() {
		if sb.takesHeld(seq) {
			sb.launchHeld(ctx)
		}
		return nil
	}
	if !sb.takes(seq) || sb.rec.FrozenSince.IsZero() {
		return nil
	}
	if err := sb.unfreeze(ctx); err != nil {
		return sb.d.controlError("thaw", err)
	}
	sb.mu.Lock()
	defer sb.mu.Unlock()
	sb.rec.thaw(sb.d.cfg.Now())
	sb.save()
	sb.nudge()
	return nil
}

// Stop ends the sandbox and waits until it is over, which takes the program's
// grace and a second at most. The program is asked first. One that is frozen
// is killed where it stands, because it must not run; one that was not
// launched never is. Stopping what is over changes nothing.
func (sb *Sandbox) Stop(ctx context.Context, reason string) error {
	sb.mu.Lock()
	if sb.cancelLaunch != nil && sb.rec.Stop == nil {
		now := sb.d.cfg.Now()
		sb.rec.Stop = &stopOrder{Cause: stopAsked, Reason: reason, At: now, KillAt: now}
		sb.cancelLaunch()
	}
	sb.mu.Unlock()
	err := func() error {
		sb.control.Lock()
		defer sb.control.Unlock()
		return sb.order(ctx, stopAsked, reason, sb.grace())
	}()
	if err != nil {
		return sb.d.controlError("stop", err)
	}
	_, err = sb.Wait(ctx)
	return err
}

// grace is the program's own.
func (sb *Sandbox) grace() time.Duration {
	return time.Duration(sb.rec.Init.StopGraceMS) * time.Millisecond
}

// takes notes an order of Freeze or Thaw and reports whether it is to be done.
func (sb *Sandbox) takes(seq int64) bool {
	sb.mu.Lock()
	defer sb.mu.Unlock()
	if seq != 0 && seq < sb.rec.Obeyed {
		return false
	}
	sb.rec.Obeyed = max(sb.rec.Obeyed, seq)
	return !sb.held && !sb.ended() && sb.rec.Stop == nil && sb.container != ""
}

// takesHeld is takes for one that was not launched.
func (sb *Sandbox) takesHeld(seq int64) bool {
	sb.mu.Lock()
	defer sb.mu.Unlock()
	if seq != 0 && seq < sb.rec.Obeyed {
		return false
	}
	sb.rec.Obeyed = max(sb.rec.Obeyed, seq)
	sb.held = false
	return true
}

// launchHeld launches a sandbox that was held, with control held.
func (sb *Sandbox) launchHeld(ctx context.Context) {
	err := sb.launch(ctx)
	if err == nil {
		return
	}
	var failure *agent.Failure
	if !errors.As(err, &failure) {
		sb.mu.Lock()
		sb.held = true // whoever asked gave up; asking again may succeed
		sb.mu.Unlock()
		return
	}
	sb.finish(agent.Outcome{Failure: failure, EndedAt: sb.d.cfg.Now(), Tier: sb.rec.Tier, Limits: sb.d.limits(&sb.rec)})
}

// order has the sandbox end: the program is asked, and killed after the grace;
// without one, and where it is frozen, it is killed now. An order that stands
// already is only made more urgent. It is called with control held.
func (sb *Sandbox) order(ctx context.Context, cause stopCause, reason string, grace time.Duration) error {
	sb.mu.Lock()
	if sb.ended() {
		sb.mu.Unlock()
		return nil
	}
	now := sb.d.cfg.Now()
	frozen := !sb.rec.FrozenSince.IsZero()
	stop := &stopOrder{Cause: cause, Reason: reason, At: now, KillAt: now.Add(grace + killMargin)}
	if frozen || grace == 0 {
		stop.KillAt = now.Add(killRetry)
	}
	standing := sb.rec.Stop != nil
	if standing && (grace > 0 || cause == stopAsked) {
		sb.mu.Unlock()
		return nil
	}
	sb.rec.Stop = stop
	held := sb.held
	if !held {
		sb.save()
	}
	sb.nudge()
	sb.mu.Unlock()
	switch {
	case held:
		sb.finish(agent.Outcome{Cancelled: true, EndedAt: now, Tier: sb.rec.Tier, Limits: sb.d.limits(&sb.rec)})
		return nil
	case frozen || grace == 0:
		return sb.kill(ctx)
	}
	return sb.terminate(ctx)
}

// terminate asks init to end the program. That the engine does not take it is
// no error while it answers: init hears of the order over its own socket, often
// sooner, and is gone then before the engine knows; and an order that stands is
// carried out with a kill.
func (sb *Sandbox) terminate(ctx context.Context) error {
	ctx, cancel := engineCall(ctx)
	defer cancel()
	err := sb.d.engine.ContainerKill(ctx, sb.container, "SIGTERM")
	switch {
	case err == nil || sb.overOr(ctx, err):
		return nil
	case silent(err):
		return err
	}
	sb.log().Info("the engine did not pass on the order to stop", "error", err)
	return nil
}

// kill ends the container without the program running any further. The signal
// goes to the container's process itself where that is known. Processes that
// are frozen take it when they are thawed, before anything else. Where the
// process is not known, or only the engine could freeze a gVisor sandbox, the
// program may go on for the moment between the two.
func (sb *Sandbox) kill(ctx context.Context) error {
	frozen := func() bool {
		sb.mu.Lock()
		defer sb.mu.Unlock()
		return !sb.rec.FrozenSince.IsZero()
	}()
	if frozen {
		sb.awaitIdentified(ctx)
	}
	ctx, cancel := engineCall(ctx)
	defer cancel()
	sb.mu.Lock()
	proc := sb.proc
	sb.mu.Unlock()
	if frozen && (proc == nil || sb.rec.Tier == agent.TierGVisor && sb.paused(ctx)) {
		if err := sb.unfreeze(ctx); err != nil {
			return err
		}
		frozen = false
	}
	if proc != nil {
		if err := proc.signal(unix.SIGKILL); err != nil || !frozen {
			return err
		}
		return sb.unfreeze(ctx)
	}
	err := sb.d.engine.ContainerKill(ctx, sb.container, "SIGKILL")
	if err != nil && !sb.overOr(ctx, err) {
		return err
	}
	return nil
}

// overOr reports whether an error of the engine only means that the container
// is over.
func (sb *Sandbox) overOr(ctx context.Context, err error) bool {
	if cerrdefs.IsNotFound(err) {
		return true
	}
	r, ierr := sb.d.engine.ContainerInspect(ctx, sb.container)
	return cerrdefs.IsNotFound(ierr) || ierr == nil && r.State != nil && !r.State.Running
}

// controlError is what an order that could not be carried out gives.
func (d *Driver) controlError(doing string, err error) error {
	if silent(err) {
		return agent.Errorf(agent.ErrUnavailable, "%s a sandbox: no container engine answers at %s: %w", doing, d.cfg.EngineHost, err)
	}
	return fmt.Errorf("%s a sandbox: %w", doing, err)
}
