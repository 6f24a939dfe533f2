package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"symbi.dev/symbi/internal/sandbox/initproto"
)

const (
	// fetchFor is how long init asks for its task: a node that dies between
	// starting a sandbox and answering it has this long to come back.
	fetchFor   = 30 * time.Second
	fetchEvery = 100 * time.Millisecond
	fetchCall  = time.Second // for one answer; a request to end is heard after it
	// drainFor is how long the pipes may stay open when all processes that
	// could hold them are killed.
	drainFor = time.Second
	// tellFor bounds the last call: the record on disk says the same.
	tellFor = time.Second
)

// forwarded are the signals that go on to the program. SIGTERM is a request to
// end it.
var forwarded = []os.Signal{
	syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
}

// swallowed are signals that would end a Go process if a program sent them to
// process 1.
var swallowed = []os.Signal{
	syscall.SIGABRT, syscall.SIGALRM, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL, syscall.SIGIO, syscall.SIGPIPE,
	syscall.SIGPROF, syscall.SIGPWR, syscall.SIGSEGV, syscall.SIGSTKFLT, syscall.SIGSYS, syscall.SIGTRAP,
	syscall.SIGVTALRM, syscall.SIGXCPU, syscall.SIGXFSZ,
}

// initMain does init's whole work and gives the sandbox's exit code.
func initMain() int {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, append(forwarded, syscall.SIGTERM)...)

	record := initproto.Exit{Kernel: readSigns().verdict()}
	gateway := &client{socket: initproto.Socket}
	run(&record, gateway, signals)
	record.EndedAt = time.Now().UTC()

	code := record.Code
	if err := leaveExit(record); err != nil {
		// Without a record the sandbox counts as dead, whatever the code.
		fmt.Fprintln(os.Stderr, "symbi-init: leave the exit record:", err)
		code = codeRefused
	}
	last := &client{socket: initproto.Socket} // the other may be in the middle of a call
	if err := last.do("POST", initproto.RouteExited, record, nil, tellFor); err != nil {
		fmt.Fprintln(os.Stderr, "symbi-init: tell the gateway of the end:", err)
	}
	return code
}

// run runs the task's program and writes down what comes of it.
func run(record *initproto.Exit, gateway *client, signals <-chan os.Signal) {
	task, err := prepare(record.Kernel, gateway, signals)
	if err != nil {
		noteRefusal(record, err)
		return
	}
	log := newLogFile(initproto.LogPrefix, task.LogHeadBytes, task.LogTailBytes)
	out, err := openOutput(log)
	if err != nil {
		noteRefusal(record, err)
		return
	}
	p, err := startProgram(task, record.Kernel, out)
	if err != nil {
		noteRefusal(record, err)
		return
	}
	out.start([2][2]byte{{initproto.StreamOut, initproto.StreamOutPart}, {initproto.StreamErr, initproto.StreamErrPart}})
	started := initproto.Started{At: p.startedAt.UTC(), Kernel: record.Kernel, PID: p.pid}
	record.StartedAt = started.At
	if err := leave(initproto.StartedFile, started); err != nil {
		fmt.Fprintln(os.Stderr, "symbi-init: leave the record of the start:", err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	newWatch(task, p, signals, newLink(ctx, gateway, started, log)).untilEnd(record)
	cancel()
	record.Orphans = sweep(sweepFor)
	out.drain(drainFor)
	record.LogBytes, record.LogDropped = log.close()
}

// prepare does all that must be done before there is a program. What needs no
// task is done while the gateway answers: in gVisor both take milliseconds.
func prepare(kernel string, gateway *client, signals <-chan os.Signal) (initproto.Task, error) {
	if err := seal(); err != nil {
		return initproto.Task{}, err
	}
	var ready sync.WaitGroup
	ready.Go(func() {
		signal.Notify(make(chan os.Signal, 1), swallowed...)
		warmThreads(spareThreads)
	})
	task, err := fetch(gateway, signals)
	ready.Wait()
	if err != nil {
		return task, err
	}
	if task.Tier == kernelGVisor && kernel != kernelGVisor {
		return task, errWrongTier
	}
	return task, limitFiles(task)
}

// noteRefusal writes down why there was never a program.
func noteRefusal(record *initproto.Exit, err error) {
	record.Reason, record.Code, record.Error = initproto.NotStarted, codeRefused, err.Error()
	var command *commandError
	switch {
	case errors.Is(err, errStopped):
		record.Reason, record.Code, record.Error = initproto.Stopped, 128+int(syscall.SIGTERM), ""
	case errors.Is(err, errWrongTier):
		record.Reason = initproto.WrongTier
	case errors.As(err, &command):
		record.Code, record.NotFound = command.code, command.code != codeRefused
	}
}

// errWrongTier says that the program must not be trusted to this kernel.
var errWrongTier = errors.New("the task asks for gVisor, but this sandbox runs on the host's Linux kernel: " +
	"the engine's runtime for the gvisor tier is not gVisor's runsc")

// errStopped says that init was asked to end before it had anything to end.
var errStopped = errors.New("stopped")

// fetch asks the gateway for the task until it answers.
func fetch(gateway *client, signals <-chan os.Signal) (initproto.Task, error) {
	clock := livedClock{last: time.Now()}
	for {
		var task initproto.Task
		err := gateway.do("GET", initproto.RouteTask, nil, &task, fetchCall)
		if err == nil {
			return task, nil
		}
		select {
		case s := <-signals:
			if s == syscall.SIGTERM {
				return task, errStopped
			}
		case <-time.After(fetchEvery):
		}
		clock.advance(time.Now(), fetchEvery+fetchCall)
		if clock.lived > fetchFor {
			return task, fmt.Errorf("no gateway gave a task at %s for %s: %w", initproto.Socket, fetchFor, err)
		}
	}
}
