package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options say what a server is for.
type Options struct {
	// Durable keeps the data on a disk and waits for it, as in production; for
	// benchmarks. Otherwise it lies in memory where there is room.
	Durable bool
}

// Server is a running PostgreSQL.
type Server struct {
	dir  *folder // with the data and the socket
	proc *exec.Cmd
	log  bytes.Buffer
	done chan struct{} // closed once proc has ended

	databases atomic.Int64 // made so far
}

// Start makes a data folder and starts a server on it.
func Start(o Options) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	owner, err := owner()
	if err != nil {
		return nil, err
	}
	s := &Server{done: make(chan struct{})}
	if s.dir, err = makeFolder(o, owner.Credential); err != nil {
		return nil, fmt.Errorf("make a folder for PostgreSQL: %w", err)
	}
	data := filepath.Join(s.dir.path, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", superuser, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = s.dir.path, owner
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("run initdb: %w\n%s", err, out), s.dir.remove())
	}
	durable := "off"
	if o.Durable {
		durable = "on"
	}
	s.proc = exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", s.dir.path, "-c", "listen_addresses=",
		"-c", "fsync="+durable, "-c", "full_page_writes="+durable, "-c", "synchronous_commit="+durable, "-c", "max_connections=1000")
	s.proc.Dir, s.proc.SysProcAttr = s.dir.path, owner
	s.proc.Stdout, s.proc.Stderr = &s.log, &s.log
	if err := s.proc.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), s.dir.remove())
	}
	go func() {
		defer close(s.done)
		// How it ended is of interest only where it should not have.
		_ = s.proc.Wait()
	}()
	if err := s.awaitReady(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// awaitReady asks until the server answers.
func (s *Server) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.url("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-again.C:
		case <-s.done:
			return fmt.Errorf("PostgreSQL ended while starting:\n%s", s.log.String())
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not answer: %w", err)
		}
	}
}

// Stop ends the server and removes its data.
func (s *Server) Stop() error {
	// SIGQUIT is "immediate shutdown": nothing of it is needed any more.
	if err := s.proc.Process.Signal(syscall.SIGQUIT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	<-s.done
	return s.dir.remove()
}

// binaries finds the folder of the newest PostgreSQL that is installed.
func binaries() (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // Debian's place
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed; run `deploy/setup.sh --with test`")
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

// version is the main version in a path of Debian's; 0 if there is none.
func version(path string) int {
	v, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	if err != nil {
		return 0
	}
	return v
}

// owner is whom the server runs as, for it refuses to be root; and it has the
// server end with this process, should that not come to Stop.
func owner() (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Getuid() != 0 {
		return attr, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("%w; PostgreSQL will not run as root: run `deploy/setup.sh --with test`", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read the user ID of postgres: %w", err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read the group ID of postgres: %w", err)
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, nil
}
