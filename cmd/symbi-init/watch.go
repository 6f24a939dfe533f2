package main

import (
	"context"
	"os"
	"syscall"
	"time"

	"symbi.dev/symbi/internal/sandbox/initproto"
)

// giveUpAfter is how long a killed program may take to be gone. One that is
// stuck in the kernel goes with the sandbox, which init's end ends.
const giveUpAfter = 10 * time.Second

// watch sits by the program: it passes signals on, ends the program when it
// is asked to or when the gateway is silent, and notes how it ended.
type watch struct {
	program *program
	signals <-chan os.Signal
	link    *link
	grace   time.Duration

	clock   livedClock
	dead    *deadMan
	reason  initproto.ExitReason // why init ends the program, if it does
	killAt  time.Duration        // once reason is Stopped
	killed  bool                 // SIGKILL was sent
	goneBy  time.Duration        // once killed
	calling bool
}

func newWatch(t initproto.Task, p *program, signals <-chan os.Signal, l *link) *watch {
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	return &watch{
		program: p, signals: signals, link: l, grace: max(ms(t.StopGraceMS), 0),
		clock: livedClock{last: time.Now()}, dead: newDeadMan(ms(t.AliveEveryMS), ms(t.SilenceEndsMS)),
	}
}

// untilEnd returns when the program is over, with the record's reason, code
// and signal filled in.
func (w *watch) untilEnd(record *initproto.Exit) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var asleep time.Duration
	for {
		select {
		case status := <-w.program.ended:
			w.note(record, status)
			return
		case s := <-w.signals:
			if s == syscall.SIGTERM {
				w.stop()
			} else if s, ok := s.(syscall.Signal); ok {
				w.program.signal(s)
			}
		case a := <-w.link.answers:
			w.calling = false
			if a.err == nil {
				w.dead.answered(a.sent)
				if a.reply.Stop {
					w.stop()
				}
			}
		case <-timer.C:
		}
		w.look(asleep) // after whatever event: a flood of signals must not keep the clock from going
		if w.killed && w.clock.lived >= w.goneBy {
			w.note(record, syscall.WaitStatus(syscall.SIGKILL))
			return
		}
		asleep = w.nap()
		timer.Reset(asleep)
	}
}

// look does what the time demands; the last look was to be at most asleep ago.
func (w *watch) look(asleep time.Duration) {
	thawed := w.clock.advance(time.Now(), asleep)
	now := w.clock.lived
	call, fenced := w.dead.look(now, thawed)
	if call && !w.calling {
		w.calling = true
		w.dead.called(now)
		w.link.asks <- ask{sent: now, within: w.dead.callTime()}
	}
	switch {
	case w.killed:
	case fenced:
		// The task may already run elsewhere: there is no grace to give.
		w.reason = initproto.Fenced
		w.kill()
	case w.reason == initproto.Stopped && now >= w.killAt:
		w.kill()
	}
}

// nap is how long to sleep: until the next tick, or until the grace is over.
func (w *watch) nap() time.Duration {
	nap := w.dead.tick()
	if w.reason == initproto.Stopped && !w.killed {
		nap = min(nap, max(w.killAt-w.clock.lived, time.Millisecond))
	}
	return nap
}

// stop asks the program to end.
func (w *watch) stop() {
	if w.reason != "" {
		return
	}
	w.reason, w.killAt = initproto.Stopped, w.clock.lived+w.grace
	w.program.terminate()
}

// kill ends every process but init.
func (w *watch) kill() {
	w.killed, w.goneBy = true, w.clock.lived+giveUpAfter
	killAll()
}

// note writes down how the program ended.
func (w *watch) note(record *initproto.Exit, status syscall.WaitStatus) {
	record.Reason, record.Code = initproto.Exited, status.ExitStatus()
	if status.Signaled() {
		record.Reason, record.Code = initproto.Signaled, 128+int(status.Signal())
		record.Signal = signalName(status.Signal())
	}
	if w.reason != "" {
		record.Reason = w.reason
		record.Killed = w.killed && w.reason == initproto.Stopped
	}
}

// ask is a sign of life to send.
type ask struct {
	sent   time.Duration // by the watch's clock
	within time.Duration
}

// reply is what came of it.
type reply struct {
	sent  time.Duration
	reply initproto.AliveReply
	err   error
}

// link makes init's calls one after another, apart from the watch, so that a
// slow gateway holds nothing up.
type link struct {
	asks    chan ask
	answers chan reply
}

// newLink begins to take calls until ctx is done. The first that gets through
// also tells of the start. A call that is under way when ctx ends is not waited
// for: the process is about to end.
func newLink(ctx context.Context, gateway *client, started initproto.Started, log *logFile) *link {
	l := &link{asks: make(chan ask, 1), answers: make(chan reply, 1)}
	go func() {
		told := false
		for {
			select {
			case <-ctx.Done():
				return
			case a := <-l.asks:
				r := reply{sent: a.sent}
				if !told {
					r.err = gateway.do("POST", initproto.RouteStarted, started, nil, a.within)
					told = r.err == nil
				}
				if r.err == nil {
					alive := initproto.Alive{LogBytes: log.written()}
					r.err = gateway.do("POST", initproto.RouteAlive, alive, &r.reply, a.within)
				}
				l.answers <- r
			}
		}
	}()
	return l
}
