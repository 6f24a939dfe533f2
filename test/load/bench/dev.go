package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"symbi.dev/symbi/client"
)

// readyWait bounds how long a `symbi dev` may take to come up.
const readyWait = 2 * time.Minute

// child is a `symbi dev` in a process of its own.
type child struct {
	cmd   *exec.Cmd
	conn  *client.Conn
	ready time.Duration // from the start of the process to /readyz
	log   *os.File
}

// startChild starts the measured binary on a data folder.
func (b *bench) startChild(ctx context.Context, data string) (*child, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	home := data + ".home"
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	log, err := os.Create(data + ".log")
	if err != nil {
		return nil, err
	}
	began := time.Now()
	c := &child{log: log, cmd: exec.Command(b.binary, "dev", "--data", data, "--listen", address)}
	c.cmd.Env = append(os.Environ(), "HOME="+home, "XDG_STATE_HOME=", "XDG_CONFIG_HOME=")
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s (is it built?): %w", b.binary, err)
	}
	if c.conn, err = awaitReady(ctx, "http://"+address, filepath.Join(data, "admin.token")); err != nil {
		return nil, errors.Join(fmt.Errorf("symbi dev did not come up, see %s: %w", log.Name(), err), c.stop())
	}
	c.ready = time.Since(began)
	return c, nil
}

// awaitReady waits until a server is ready.
func awaitReady(ctx context.Context, url, tokenFile string) (*client.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var conn *client.Conn
	for {
		token, err := client.ReadToken(tokenFile)
		if err == nil && conn == nil {
			conn, err = client.New(client.Config{Server: url, Token: token})
		}
		if err == nil && reached(url) {
			if err = conn.Ready(ctx); err == nil {
				return conn, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// reached reports whether anything listens yet; the client would wait longer
// between two tries.
func reached(url string) bool {
	c, err := net.DialTimeout("tcp", url[len("http://"):], time.Second)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// stop ends the process as Ctrl-C does.
func (c *child) stop() error {
	defer c.log.Close()
	if err := c.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	return c.cmd.Wait()
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// tempDir makes a folder for a measurement; done removes it.
func tempDir() (dir string, done func(), err error) {
	dir, err = os.MkdirTemp("", "symbi-bench-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// devReadyRuns is how often a start on an empty folder is measured.
const devReadyRuns = 5

// devReady measures how long `symbi dev` takes to be ready with nothing in its folder.
func devReady(ctx context.Context, b *bench) error {
	dir, done, err := tempDir()
	if err != nil {
		return err
	}
	defer done()
	var took []time.Duration
	for i := range devReadyRuns {
		c, err := b.startChild(ctx, fmt.Sprintf("%s/%d", dir, i))
		if err != nil {
			return err
		}
		took = append(took, c.ready)
		if err := c.stop(); err != nil {
			return err
		}
	}
	return b.report(figure{Name: "dev.ready_s", Value: percentile(took, 50) / 1000, Unit: "s", Goal: "<=3",
		Note: fmt.Sprintf("median of %d, the longest %.2f s", devReadyRuns, percentile(took, 100)/1000)})
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// heapBytes is what this process keeps in memory.
func heapBytes() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers let go
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
