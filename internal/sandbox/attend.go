package sandbox

import (
	"context"
	"errors"
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
	pid, running := sb.inspect(ctx)
	if !running {
		close(sb.identified)
		return // over already; init's record says in what kernel it ran
	}
	if err := sb.identify(pid); err != nil {
		if _, still := sb.inspect(ctx); still && ctx.Err() == nil {
			sb.refuse(ctx, "its process cannot be seen from the worker, which must share the host's process namespace")
		}
		return
	}
	sb.mu.Lock()
	proc := sb.proc
	sb.mu.Unlock()
	patience := time.NewTimer(verifyPatience)
	defer patience.Stop()
	for proc != nil {
		found, err := proc.tier()
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && found == sb.rec.Tier:
			return
		case err != nil:
			sb.refuse(ctx, err.Error())
			return
		case found != "":
			sb.refuse(ctx, "seen from the host, its process is of the "+string(found)+" tier")
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-sb.done:
			return
		case <-patience.C:
			sb.refuse(ctx, "seen from the host, its process is of no tier")
			return
		case <-time.After(verifyEvery):
		}
	}
}

// refuse kills a sandbox whose runtime is not what it should be.
func (sb *Sandbox) refuse(ctx context.Context, why string) {
	sb.control.Lock()
	defer sb.control.Unlock()
	if err := sb.order(ctx, stopRuntime, why, 0); err != nil {
		sb.log().Error("a sandbox of the wrong runtime does not end; trying again", "error", err)
	}
}

// inspect asks the engine for the container's process.
func (sb *Sandbox) inspect(ctx context.Context) (pid int, running bool) {
	ctx, cancel := engineCall(ctx)
	defer cancel()
	r, err := sb.d.engine.ContainerInspect(ctx, sb.container)
	if err != nil || r.State == nil {
		return 0, false
	}
	return r.State.Pid, r.State.Running
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
