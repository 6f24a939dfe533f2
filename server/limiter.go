package server

// limiter bounds how many of something there are at once.
type limiter chan struct{}

func newLimiter(n int) limiter { return make(limiter, n) }

// enter takes a place if there is one; whoever got one must leave.
func (l limiter) enter() bool {
	select {
	case l <- struct{}{}:
		return true
	default:
		return false
	}
}

func (l limiter) leave() { <-l }
