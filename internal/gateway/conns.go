package gateway

import (
	"context"
	"net"
	"sync"
	"time"
)

const (
	// maxConns is how many connections one sandbox may have; a program needs
	// one a thread at most.
	maxConns = 32
	// acceptsPerSecond bounds what it costs when a program opens connections
	// as fast as it can.
	acceptsPerSecond = 500
	// writeIdle is how long a sandbox may take to read what was written. A
	// frozen one loses its connections; it can make others.
	writeIdle = 30 * time.Second
)

// connections is a listener that holds a bounded number of connections.
type connections struct {
	net.Listener
	ctx     context.Context
	accepts *pace

	mu     sync.Mutex
	open   map[*conn]struct{}
	pinned *conn // init's
}

func newConnections(ctx context.Context, l net.Listener) *connections {
	return &connections{Listener: l, ctx: ctx, accepts: newPace(acceptsPerSecond, maxConns), open: map[*conn]struct{}{}}
}

// Accept waits for a connection. When there are too many, the one that has
// been idle longest makes way.
func (l *connections) Accept() (net.Conn, error) {
	if err := l.accepts.wait(l.ctx, time.Minute); err != nil {
		return nil, net.ErrClosed
	}
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, of: l, used: time.Now()}
	l.mu.Lock()
	var victim *conn
	if len(l.open) >= maxConns {
		for o := range l.open {
			if o != l.pinned && (victim == nil || o.used.Before(victim.used)) {
				victim = o
			}
		}
		delete(l.open, victim)
	}
	l.open[c] = struct{}{}
	l.mu.Unlock()
	if victim != nil {
		_ = victim.Close() // its owner notices
	}
	return c, nil
}

// pin keeps the connection that init calls on from being closed. It is the
// first that uses init's routes, before there is a program; when it is closed
// the next one is pinned.
func (l *connections) pin(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, open := l.open[c]; open && l.pinned == nil {
		l.pinned = c
	}
}

// isPinned reports whether a connection is taken for init's.
func (l *connections) isPinned(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pinned == c
}

func (l *connections) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
	if l.pinned == c {
		l.pinned = nil
	}
}

// conn is one connection that knows when it was used last.
type conn struct {
	net.Conn
	of   *connections
	used time.Time // guarded by of.mu
}

// Read reads and notes the use.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.touch()
	}
	return n, err
}

// Write writes, and fails when the other end does not read for too long.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(writeIdle)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.touch()
	}
	return n, err
}

// Close closes the connection and gives its place free.
func (c *conn) Close() error {
	c.of.forget(c)
	return c.Conn.Close()
}

func (c *conn) touch() {
	now := time.Now()
	c.of.mu.Lock()
	c.used = now
	c.of.mu.Unlock()
}
