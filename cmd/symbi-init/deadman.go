package main

import "time"

// frozenAfter is how much later than asked for a wake-up must come to be taken
// for a freeze of the whole sandbox. A busy machine delays by less; and less
// than this of a freeze does no harm when it is counted.
const frozenAfter = time.Second

// livedClock counts the time in which this process could run. The kernel's
// clocks go on while a sandbox is frozen; but a frozen process comes late to
// its own appointments.
type livedClock struct {
	last  time.Time
	lived time.Duration
}

// advance counts the time since the last call, of which the caller meant to
// sleep at most asleep. It reports whether the process was frozen meanwhile.
// Of a freeze it counts frozenAfter: a sandbox that is merely starved still
// comes to its end.
func (c *livedClock) advance(now time.Time, asleep time.Duration) (thawed bool) {
	gap := now.Sub(c.last)
	c.last = now
	if gap > asleep+frozenAfter {
		c.lived += asleep + frozenAfter
		return true
	}
	c.lived += max(gap, 0)
	return false
}

// Bounds of the dead man's switch.
const (
	minCallTime = 500 * time.Millisecond
	maxCallTime = 5 * time.Second
	minTick     = 100 * time.Millisecond
	maxTick     = time.Second
)

// deadMan is the dead man's switch: it says when to call the gateway, and when
// the gateway has been silent for so long that the task may run elsewhere.
// All its times are those of a livedClock.
type deadMan struct {
	every, silence time.Duration
	renewed        time.Duration // when the last call that was answered was sent
	nextCall       time.Duration
	patience       time.Duration // no judgement before this
	patient        bool          // it was given since the last answer
}

func newDeadMan(every, silence time.Duration) *deadMan {
	every = max(every, minTick)
	return &deadMan{every: every, silence: max(silence, every)}
}

// callTime is how long one call may take.
func (d *deadMan) callTime() time.Duration {
	return min(max(d.silence/3, minCallTime), maxCallTime)
}

// tick is how often to look.
func (d *deadMan) tick() time.Duration { return min(max(d.every/4, minTick), maxTick) }

// look says what is due: a call, or the end. After a freeze the gateway has
// the time of one call and one interval before it is judged, once: it may have
// been there all the while.
func (d *deadMan) look(now time.Duration, thawed bool) (call, fenced bool) {
	if thawed {
		d.nextCall = now
		if !d.patient {
			d.patient, d.patience = true, now+d.every+d.callTime()
		}
	}
	return now >= d.nextCall, now-d.renewed >= d.silence && now >= d.patience
}

// called notes that a call is under way; if it fails the next follows at the
// next tick.
func (d *deadMan) called(now time.Duration) { d.nextCall = now + d.tick() }

// answered notes that the call sent at that time was answered.
func (d *deadMan) answered(sent time.Duration) {
	d.renewed, d.patient = max(d.renewed, sent), false
	d.nextCall = max(d.nextCall, sent+d.every)
}
