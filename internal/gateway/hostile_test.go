package gateway

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func dial(t *testing.T, g *Gateway) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", filepath.Join(g.cfg.Dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask makes a call on a connection of its own making.
func ask(c net.Conn, request string) (*http.Response, error) {
	if _, err := io.WriteString(c, request); err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(c), nil)
}

const aliveRequest = "POST /v1/init/alive HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"

func TestThousandsOfConnectionsAreBoundedAndInitIsHeard(t *testing.T) {
	t.Parallel()
	g, _ := serve(t, &node{})
	init := dial(t, g)
	if _, err := ask(init, aliveRequest); err != nil {
		t.Fatal(err)
	}
	// Connections that say nothing, or the beginning of something.
	var held []net.Conn
	for i := range 1000 {
		c := dial(t, g)
		if i%2 == 0 {
			_, _ = io.WriteString(c, "GET /v1/ta") // it may be closed already
		}
		held = append(held, c)
	}
	resp, err := ask(init, aliveRequest)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("init is not heard: %v %v", resp, err)
	}
	g.conns.mu.Lock()
	open := len(g.conns.open)
	g.conns.mu.Unlock()
	if open > maxConns {
		t.Errorf("%d connections are open, more than %d", open, maxConns)
	}
	for _, c := range held[:len(held)-maxConns] { // all but the newest were closed
		if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Fatalf("a connection was left open: %v", err)
		}
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

func TestFloodOfCallsLeavesTheGatewayWorking(t *testing.T) {
	t.Parallel()
	n := &node{}
	g, client := serve(t, n)
	init := dial(t, g)
	if _, err := ask(init, aliveRequest); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var flood sync.WaitGroup
	for range 2 * maxConns {
		flood.Go(func() {
			for ctx.Err() == nil {
				req, err := http.NewRequestWithContext(ctx, "POST", "http://gateway/v1/init/exited", strings.NewReader(`{"reason":"exited"}`))
				if err != nil {
					return
				}
				if resp, err := client.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			}
		})
	}
	for range 50 {
		if resp, err := ask(init, aliveRequest); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("init is not heard: %v %v", resp, err)
			break
		}
	}
	cancel()
	flood.Wait()
}

func TestBadRequestsAreAnsweredOrClosed(t *testing.T) {
	t.Parallel()
	g, client := serve(t, &node{})
	for name, request := range map[string]string{
		"no HTTP":           "\x00\x01\x02\x03\r\n\r\n",
		"endless line":      "GET /" + strings.Repeat("x", 100_000) + " HTTP/1.1\r\n\r\n",
		"endless headers":   "GET /v1/task HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 20_000) + "\r\n",
		"two lengths":       "POST /v1/progress HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		"negative length":   "POST /v1/progress HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"huge length":       "PUT /v1/checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
		"bad chunks":        "PUT /v1/checkpoint HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/2":            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"another host":      "GET http://elsewhere/v1/task HTTP/1.1\r\n\r\n",
		"an upgrade":        "GET /v1/task HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
		"a proxy's request": "CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := ask(dial(t, g), request)
			if err == nil && resp.StatusCode/100 != 4 && name != "an upgrade" && name != "another host" {
				t.Errorf("answered with %s", resp.Status)
			}
			if status, _, _ := send(t, client, "GET", "/v1/task", ""); status != 200 {
				t.Errorf("the gateway answers %d afterwards", status)
			}
		})
	}
}

func TestEndlessBodyIsCutOff(t *testing.T) {
	t.Parallel()
	g, _ := serve(t, &node{})
	c := dial(t, g)
	if _, err := io.WriteString(c, "PUT /v1/checkpoint HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	chunk := fmt.Appendf(nil, "%x\r\n%s\r\n", 64<<10, bytes.Repeat([]byte("x"), 64<<10))
	sent := 0
	for ; sent < 1000; sent++ {
		if _, err := c.Write(chunk); err != nil {
			break
		}
	}
	if sent == 1000 {
		t.Error("64 MB of a checkpoint were taken")
	}
}

func TestUnfinishedCheckpointKeepsNoOtherRouteWaiting(t *testing.T) {
	t.Parallel()
	g, client := serve(t, &node{})
	c := dial(t, g)
	if _, err := io.WriteString(c, "PUT /v1/checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	// "100 Continue" is sent when the handler reads the body: it holds the place.
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		t.Fatalf("%q %v", line, err)
	}
	if status, _, body := send(t, client, "PUT", "/v1/checkpoint", "x"); status != 429 {
		t.Errorf("a second checkpoint: %d %s", status, body)
	}
	if status, _, _ := send(t, client, "GET", "/v1/task", ""); status != 200 {
		t.Errorf("another route: %d", status)
	}
}

func TestCloseEndsCallsUnderWay(t *testing.T) {
	t.Parallel()
	n := &node{inputs: map[string]string{"reports": strings.Repeat("x", 64<<20)}}
	g, _ := serve(t, n)
	c := dial(t, g)
	resp, err := ask(c, "GET /v1/inputs/reports HTTP/1.1\r\nHost: x\r\n\r\n")
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v %v", resp, err)
	}
	if err := g.Close(); err != nil { // nobody reads on: the call hangs in a write
		t.Fatal(err)
	}
	if n.closed != 1 {
		t.Error("a call outlived the gateway")
	}
}

// slowInput takes its time, unless it is told to end.
type slowInput struct {
	io.ReadSeeker
	ctx context.Context
}

func (slowInput) Close() error { return nil }

func (s slowInput) Read(p []byte) (int, error) {
	select {
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	case <-time.After(300 * time.Millisecond): // what must not happen does within 50
		return s.ReadSeeker.Read(p)
	}
}

func TestAnswerMayTakeLongerThanABody(t *testing.T) {
	t.Parallel()
	g, _ := serve(t, &node{})
	g.cfg.OpenInput = func(ctx context.Context, _ string) (io.ReadSeekCloser, error) {
		return slowInput{strings.NewReader("0123456789"), ctx}, nil
	}
	hurried := newServer(t.Context(), g)
	hurried.ReadTimeout = 50 * time.Millisecond
	socket := filepath.Join(shortDir(t), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { _ = hurried.Serve(newConnections(t.Context(), l)) })
	defer served.Wait()
	defer hurried.Close()
	if status, _, body := send(t, clientOf(t, socket), "GET", "/v1/inputs/reports", ""); status != 200 || body != "0123456789" {
		t.Errorf("%d %q", status, body)
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	p := newPace(10, 2)
	now := time.Now()
	for i, want := range []time.Duration{0, 0, 100 * time.Millisecond, 200 * time.Millisecond} {
		if wait, ok := p.reserve(now, time.Second); !ok || wait != want {
			t.Errorf("token %d: wait %v, %v, want %v", i, wait, ok, want)
		}
	}
	if _, ok := p.reserve(now, 100*time.Millisecond); ok {
		t.Error("a token came too early")
	}
	if wait, ok := p.reserve(now.Add(time.Hour), 0); !ok || wait != 0 {
		t.Errorf("after a pause: %v %v", wait, ok)
	}
	if err := newPace(1, 0).wait(t.Context(), 0); err == nil {
		t.Error("an empty bucket gave a token")
	}
}
