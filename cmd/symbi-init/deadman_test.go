package main

import (
	"testing"
	"time"
)

// play runs a dead man's switch on a clock of its own, looking at every tick,
// and gives when it ends the program. Answered says whether a call sent at
// that time is answered; delays are how much later a look comes than planned.
func play(d *deadMan, until time.Duration, answered func(now time.Duration) bool, delays map[time.Duration]time.Duration) (fencedAt time.Duration, calls int) {
	start := time.Unix(0, 0)
	clock := livedClock{last: start}
	for now := time.Duration(0); now < until; {
		thawed := clock.advance(start.Add(now), d.tick())
		call, fenced := d.look(clock.lived, thawed)
		if fenced {
			return now, calls
		}
		if call {
			calls++
			d.called(clock.lived)
			if answered(now) {
				d.answered(clock.lived)
			}
		}
		next := now + d.tick()
		for at, delay := range delays {
			if now <= at && at < next {
				next = at + delay
			}
		}
		now = next
	}
	return -1, calls
}

func always(time.Duration) bool { return true }
func never(time.Duration) bool  { return false }

func before(end time.Duration) func(time.Duration) bool {
	return func(now time.Duration) bool { return now < end }
}

func TestDeadMan(t *testing.T) {
	t.Parallel()
	const every, silence = 2 * time.Second, 10 * time.Second
	minute := time.Minute
	for _, c := range []struct {
		name      string
		answered  func(time.Duration) bool
		delays    map[time.Duration]time.Duration
		from, to  time.Duration // when it ends the program; to 0: never
		fewest    int
		mostCalls int
	}{
		{name: "the gateway answers", answered: always, fewest: 30, mostCalls: 32},
		{name: "the gateway never answers", answered: never, from: silence, to: silence + maxTick, mostCalls: 1000},
		{name: "the gateway falls silent", answered: before(20 * time.Second), from: 28 * time.Second, to: 30*time.Second + maxTick, mostCalls: 1000},
		{name: "it comes back in time", answered: func(now time.Duration) bool { return now < 20*time.Second || now > 27*time.Second }, mostCalls: 1000},
		{name: "a freeze of an hour, the gateway is there", answered: always,
			delays: map[time.Duration]time.Duration{20 * time.Second: time.Hour}, mostCalls: 1000},
		{name: "a freeze of an hour, the gateway has gone for good", answered: before(20 * time.Second),
			delays: map[time.Duration]time.Duration{25 * time.Second: time.Hour},
			from:   time.Hour + 25*time.Second, to: time.Hour + 25*time.Second + silence, mostCalls: 1000},
		{name: "a freeze just before the end, the gateway back soon after",
			answered: func(now time.Duration) bool { return now < 20*time.Second || now > time.Hour+30*time.Second },
			delays:   map[time.Duration]time.Duration{27 * time.Second: time.Hour}, mostCalls: 1000},
		{name: "a short stall counts", answered: before(20 * time.Second),
			delays: map[time.Duration]time.Duration{25 * time.Second: 900 * time.Millisecond},
			from:   28 * time.Second, to: 30*time.Second + maxTick, mostCalls: 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			until := minute
			for _, d := range c.delays {
				until += d
			}
			at, calls := play(newDeadMan(every, silence), until, c.answered, c.delays)
			if c.to == 0 && at >= 0 || c.to > 0 && (at < c.from || at > c.to) {
				t.Errorf("it ended the program at %v, want %v to %v", at, c.from, c.to)
			}
			if calls < c.fewest || calls > c.mostCalls {
				t.Errorf("%d calls", calls)
			}
		})
	}
}

// TestStarvedSandboxIsEndedToo has every look come late, as where a program
// leaves init no time: it must not put off its end for ever.
func TestStarvedSandboxIsEndedToo(t *testing.T) {
	t.Parallel()
	delays := map[time.Duration]time.Duration{}
	for at := time.Duration(0); at < 10*time.Minute; at += 100 * time.Millisecond {
		delays[at] = 3 * time.Second
	}
	at, _ := play(newDeadMan(2*time.Second, 10*time.Second), 10*time.Minute, never, delays)
	if at < 0 || at > time.Minute {
		t.Errorf("it ended the program at %v", at)
	}
}

func TestLivedClock(t *testing.T) {
	t.Parallel()
	now := time.Unix(100, 0)
	c := livedClock{last: now}
	for _, s := range []struct {
		gap, asleep, lived time.Duration
		thawed             bool
	}{
		{gap: time.Second, asleep: time.Second, lived: time.Second},
		{gap: 2 * time.Second, asleep: time.Second, lived: 3 * time.Second},
		{gap: time.Hour, asleep: time.Second, lived: 5 * time.Second, thawed: true},
		{gap: -time.Minute, asleep: time.Second, lived: 5 * time.Second},
	} {
		now = now.Add(s.gap)
		if thawed := c.advance(now, s.asleep); thawed != s.thawed || c.lived != s.lived {
			t.Errorf("after %v: lived %v, thawed %v, want %v, %v", s.gap, c.lived, thawed, s.lived, s.thawed)
		}
	}
}
