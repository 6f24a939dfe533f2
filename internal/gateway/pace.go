package gateway

import (
	"context"
	"errors"
	"sync"
	"time"
)

// pace is a token bucket: so many a second, and a burst of so many.
type pace struct {
	interval time.Duration
	burst    time.Duration

	mu   sync.Mutex
	full time.Time // when the bucket would be full again
}

func newPace(perSecond, burst int) *pace {
	interval := time.Second / time.Duration(perSecond)
	return &pace{interval: interval, burst: interval * time.Duration(burst)}
}

// reserve takes a token and gives how long to wait for it, unless that would
// be longer than atMost; then it takes none.
func (p *pace) reserve(now time.Time, atMost time.Duration) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	full := p.full
	if full.Before(now) {
		full = now
	}
	wait := full.Add(p.interval).Sub(now) - p.burst
	if wait > atMost {
		return 0, false
	}
	p.full = full.Add(p.interval)
	return max(wait, 0), true
}

// errTooFast is a pace that was not kept.
var errTooFast = errors.New("too many at once")

// wait waits for a token, at most for a while: its error is errTooFast or that
// of ctx.
func (p *pace) wait(ctx context.Context, atMost time.Duration) error {
	d, ok := p.reserve(time.Now(), atMost)
	if !ok {
		return errTooFast
	}
	if d == 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
