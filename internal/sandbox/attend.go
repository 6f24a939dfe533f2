package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"symbi.dev/symbi/agent"
)

const (
	// sampleEvery is how often the accounts of a running container are read:
	// what a sandbox used that dies without a word is known to this point.
	sampleEvery = 2 * time.Second
	// killRetry is how soon a kill that did not take is repeated.
	killRetry = 3 * time.Second
	// verifyPatience is how long a container's process may take to become
	// what its tier wants it to be, and verifyEvery how often that is looked at.
	verifyPatience = 5 * time.Second
	verifyEvery    = 20 * time.Millisecond
	// Waits between attempts to reach an engine that went away. Containers
	// outlive it (live-restore).
	firstEngineWait = 100 * time.Millisecond
	longEngineWait  = 5 * time.Second
)

// attend follows a launched container until it is over, or the driver closes.
func (d *Driver) attend(sb *Sandbox) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		close(sb.identified)
		return // the next driver does
	}
	exit := make(chan ending, 1)
	d.wg.Go(func() { sb.verify(d.ctx) })
	d.wg.Go(func() {
		if e, ok := sb.awaitExit(d.ctx); ok {
			exit <- e
		}
	})
	d.wg.Go(func() { sb.loop(d.ctx, exit) })
}

// loop does what falls due while the container runs, and ends with it.
func (sb *Sandbox) loop(ctx context.Context, exit <-chan ending) {
	sample := time.NewTicker(sampleEvery)
	defer sample.Stop()
	for {
		timer, stop, cause := sb.alarm()
		select {
		case <-ctx.Done():
			stop()
			return // the container runs on; the next worker adopts it
		case e := <-exit:
			stop()
			sb.conclude(e)
			return
		case <-sample.C:
			sb.account()
		case <-sb.changed:
		case <-timer:
			sb.act(ctx, cause)
		}
		stop()
	}
}

// alarm gives a channel that is ready when something is due.
func (sb *Sandbox) alarm() (<-chan time.Time, func(), stopCause) {
	sb.mu.Lock()
	defer sb.mu.Unlock()
	now := sb.d.cfg.Now()
	at, cause := sb.rec.due(now)
	if at.IsZero() {
		return nil, func() {}, ""
	}
	t := time.NewTimer(at.Sub(now))
	return t.C, func() { t.Stop() }, cause
}

// act does what is due: asks the program to end, or kills what was asked.
func (sb *Sandbox) act(ctx context.Context, cause stopCause) {
	sb.control.Lock()
	defer sb.control.Unlock()
	sb.mu.Lock()
	now := sb.d.cfg.Now()
	at, again := sb.rec.due(now)
	if at.IsZero() || at.After(now) || again != cause {
		sb.mu.Unlock()
		return // a freeze or an order came first
	}
	asked := sb.rec.Stop != nil
	if asked {
		sb.rec.Stop.KillAt = now.Add(killRetry)
	}
	sb.mu.Unlock()
	var err error
	switch {
	case asked:
		err = sb.kill(ctx)
	case cause == stopSilent:
		err = sb.order(ctx, cause, "", 0)
	default:
		err = sb.order(ctx, cause, "", sb.grace())
	}
	if err != nil {
		sb.log().Warn("a sandbox does not end as it should; trying again", "error", err)
	}
}

// awaitExit waits until the container is over, however often the engine goes
// away meanwhile. It reports false when ctx ended first.
func (sb *Sandbox) awaitExit(ctx context.Context) (ending, bool) {
	for wait := firstEngineWait; ; wait = min(2*wait, longEngineWait) {
		answers, errs := sb.d.engine.ContainerWait(ctx, sb.container, container.WaitConditionNotRunning)
		select {
		case a := <-answers:
			return ending{code: int(a.StatusCode)}, true
		case err := <-errs:
			if cerrdefs.IsNotFound(err) {
				return ending{gone: true}, true
			}
		case <-ctx.Done():
		}
		select {
		case <-ctx.Done():
			return ending{}, false
		case <-time.After(wait):
		}
	}
}

// verify finds the container's process and accounts, and checks from the
// host that the runtime is that of the tier. Init checks the same from inside
// and refuses to start the program, so that nothing waits for this.
func (sb *Sandbox) verify(ctx context.Context) {
	defer close(sb.identified)
	ctx, cancel := context.WithTimeout(ctx, verifyPatience)
	defer cancel()
	proc, err := sb.findProcess(ctx)
	if err == nil && proc != nil {
		sb.hold(proc)
		err = proc.expect(ctx, sb.rec.Tier)
	}
	if err != nil && !sb.d.closing() {
		sb.refuse(err.Error())
	}
}

// findProcess gives the container's process, nil when it is over. The engine
// says for a while that a container runs whose process is gone.
func (sb *Sandbox) findProcess(ctx context.Context) (*process, error) {
	for {
		r, err := sb.d.engine.ContainerInspect(ctx, sb.container)
		switch {
		case cerrdefs.IsNotFound(err), err == nil && (r.State == nil || !r.State.Running):
			return nil, nil
		case err == nil:
			proc, err := openProcess(r.State.Pid, sb.container)
			if !errors.Is(err, fs.ErrNotExist) {
				return proc, err
			}
		}
		select {
		case <-sb.done:
			return nil, nil
		case <-ctx.Done():
			return nil, errors.New("its process cannot be seen from the worker, which must share the host's process namespace")
		case <-time.After(verifyEvery):
		}
	}
}

// expect waits until a process is what its tier wants it to be; it is an error
// if that does not come to pass. A process that is over is no error.
func (p *process) expect(ctx context.Context, want agent.Tier) error {
	for {
		found, err := p.tier()
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && found == want:
			return nil
		case err != nil:
			return err
		case found != "":
			return fmt.Errorf("seen from the host, its process is of the %s tier", found)
		}
		select {
		case <-ctx.Done():
			return errors.New("seen from the host, its process is of no tier")
		case <-time.After(verifyEvery):
		}
	}
}

// refuse kills a sandbox whose runtime is not what it should be.
func (sb *Sandbox) refuse(why string) {
	sb.control.Lock()
	defer sb.control.Unlock()
	if err := sb.order(sb.d.ctx, stopRuntime, why, 0); err != nil {
		sb.log().Error("a sandbox of the wrong runtime does not end; trying again", "error", err)
	}
}

// conclude makes the outcome of a container that is over.
func (sb *Sandbox) conclude(e ending) {
	sb.control.Lock() // an order under way comes first
	defer sb.control.Unlock()
	ctx, cancel := engineCall(context.WithoutCancel(sb.d.ctx))
	defer cancel()
	if !e.gone {
		if r, err := sb.d.engine.ContainerInspect(ctx, sb.container); err == nil && r.State != nil {
			e.code, e.oomKilled, e.engineError = r.State.ExitCode, r.State.OOMKilled, r.State.Error
		}
	}
	sb.readEnding(&e)
	sb.mu.Lock()
	sb.save()
	e.rec = sb.rec
	sb.mu.Unlock()
	sb.finish(sb.d.outcome(&e))
}

// finish makes the outcome known.
func (sb *Sandbox) finish(o agent.Outcome) {
	sb.mu.Lock()
	if sb.ended() {
		sb.mu.Unlock()
		return
	}
	sb.outcome = o
	if sb.rec.StartedAt.IsZero() {
		close(sb.started)
	}
	close(sb.done)
	sb.mu.Unlock()
	sb.d.watch.wake(sb.folder.control())
	sb.release()
}
