package main

import (
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"symbi.dev/symbi/internal/sandbox/initproto"
)

// Resource limits that package syscall has no names for on Linux.
const (
	rlimitNPROC = 6
	unlimited   = ^uint64(0)
)

// prctl options.
const (
	prSetDumpable   = 4
	prSetNoNewPrivs = 38
)

const (
	// spareThreads are started before the program is. A program that fills
	// the pids limit leaves none to be had later, and Go's runtime ends the
	// process when it cannot have a thread that it wants: one each for the
	// reaper, signals, the poller, the log, the clock and the gateway's
	// calls, and two.
	spareThreads = 8
	// ownThreads is what init counts for where threads are counted (measured: 14).
	ownThreads = 16
	// minOpenFiles is what init itself needs: its limit is the program's too.
	minOpenFiles = 64
)

// seal keeps a program that runs as the same user from looking into or
// tracing init.
func seal() error {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetDumpable, 0, 0); errno != 0 {
		return fmt.Errorf("make init undumpable: %w", errno)
	}
	return nil
}

// warmThreads makes the runtime keep n threads beside those it has.
func warmThreads(n int) {
	var arrived, done sync.WaitGroup
	arrived.Add(n)
	for range n {
		done.Go(func() {
			runtime.LockOSThread() // so that none can share another's thread
			defer runtime.UnlockOSThread()
			arrived.Done()
			arrived.Wait()
		})
	}
	done.Wait()
}

// limitFiles sets the limits that init can share with the program.
func limitFiles(t initproto.Task) error {
	if t.MaxOpenFiles > 0 {
		n := max(t.MaxOpenFiles, minOpenFiles)
		var now syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
			return fmt.Errorf("read the limit of open files: %w", err)
		}
		n = min(n, now.Max) // the engine's own may be lower, and cannot be raised
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			return fmt.Errorf("limit open files to %d: %w", n, err)
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	return nil
}

// processLimit is the RLIMIT_NPROC that a program gets, 0 for none. On the
// host's kernel it would count every sandbox's processes, which all belong to
// one user, so that one sandbox could keep the others from forking; there the
// engine's pids limit holds instead. In gVisor the count is the sandbox's own,
// threads and those of init included.
func processLimit(t initproto.Task, kernel string) uint64 {
	if t.MaxProcesses == 0 || kernel != kernelGVisor {
		return 0
	}
	return t.MaxProcesses + ownThreads
}

// withProcessLimit calls start, which forks, so that the child is born with
// RLIMIT_NPROC n while init stays without. Only the soft limit can be given
// back, so the child's hard one is set once it exists: until then, some
// microseconds, a program can raise its own, and meet the engine's limit.
func withProcessLimit(n uint64, start func() (int, error)) (int, error) {
	if n == 0 {
		return start()
	}
	var own syscall.Rlimit
	if err := syscall.Getrlimit(rlimitNPROC, &own); err != nil {
		return 0, fmt.Errorf("read the limit of processes: %w", err)
	}
	n = min(n, own.Max)
	if err := syscall.Setrlimit(rlimitNPROC, &syscall.Rlimit{Cur: n, Max: own.Max}); err != nil {
		return 0, fmt.Errorf("limit processes to %d: %w", n, err)
	}
	pid, err := start()
	if back := syscall.Setrlimit(rlimitNPROC, &own); back != nil && err == nil {
		err = fmt.Errorf("give back init's own limit of processes: %w", back)
	}
	if err != nil {
		return pid, err
	}
	limit := syscall.Rlimit{Cur: n, Max: n}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), rlimitNPROC,
		uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	if errno != 0 && errno != syscall.ESRCH { // ESRCH: it is over already
		return pid, fmt.Errorf("limit the program's processes to %d: %w", n, errno)
	}
	return pid, nil
}
