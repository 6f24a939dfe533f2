package main

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"symbi.dev/symbi/internal/sandbox/initproto"
)

const (
	// sweepFor is how long processes that were killed may take to go. Those
	// that are stuck in the kernel for longer go with the sandbox.
	sweepFor = 5 * time.Second
	// oomScore makes the kernel choose the program before init.
	oomScore = "1000"
)

// program is the task's own process and all that descends from it.
type program struct {
	pid       int
	startedAt time.Time
	ended     chan syscall.WaitStatus // gives one status
}

// startProgram starts the task's command in a process group of its own. What
// is returned as error may be a commandError.
func startProgram(t initproto.Task, kernel string, out *output) (*program, error) {
	name := ""
	if len(t.Argv) > 0 {
		name = t.Argv[0]
	}
	file, err := lookUp(name, t.Dir, t.Env)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(t.Dir); err != nil || !info.IsDir() {
		return nil, &commandError{codeRefused, "the working folder " + strconv.Quote(t.Dir) + " is not in this image"}
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	fork := func() (int, error) {
		// The promise to gain no privileges is the thread's, and the child's by birth.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		_, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0)
		if errno != 0 {
			return 0, os.NewSyscallError("forbid new privileges", errno)
		}
		pid, err := syscall.ForkExec(file, t.Argv, &syscall.ProcAttr{
			Dir: t.Dir, Env: t.Env,
			Files: []uintptr{null.Fd(), uintptr(out.ends[0]), uintptr(out.ends[1])},
			Sys:   &syscall.SysProcAttr{Setpgid: true},
		})
		if err != nil {
			err = execError(file, err)
		}
		return pid, err
	}
	p := &program{ended: make(chan syscall.WaitStatus, 1), startedAt: time.Now()}
	if p.pid, err = withProcessLimit(processLimit(t, kernel), fork); err != nil {
		sweep(sweepFor) // what started without its limits must not go on
		return nil, err
	}
	preferAsVictim(p.pid)
	go p.reap()
	return p, nil
}

// preferAsVictim lets the program and its children be killed before init when
// memory is short. Where the kernel has no such score (gVisor) nothing happens.
func preferAsVictim(pid int) {
	f, err := os.OpenFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", os.O_WRONLY, 0)
	if err != nil {
		return
	}
	_, _ = f.WriteString(oomScore)
	_ = f.Close()
}

// reap waits for all children until the program itself is over.
func (p *program) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil: // it cannot be, while the program is not reaped
			p.ended <- syscall.WaitStatus(codeRefused << 8)
			return
		case pid == p.pid:
			p.ended <- status
			return
		}
	}
}

// signal sends a signal to the program's process group.
func (p *program) signal(s syscall.Signal) { _ = syscall.Kill(-p.pid, s) }

// terminate asks the program to end; one that was stopped must run to hear it.
func (p *program) terminate() {
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGCONT)
}

// killAll kills every process but this one.
func killAll() { _ = syscall.Kill(-1, syscall.SIGKILL) }

// sweep kills what is left once the program is over, and reaps it. It gives
// the number of processes that were still there. The reaper must have ended.
func sweep(atMost time.Duration) (orphans int) {
	if _, more := reapNow(); !more {
		return 0
	}
	deadline := time.Now().Add(atMost)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		killAll()
		n, more := reapNow()
		orphans += n
		if !more || time.Now().After(deadline) {
			return orphans
		}
		time.Sleep(pause)
	}
}

// reapNow reaps what is dead and reports whether children are left.
func reapNow() (reaped int, more bool) {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return reaped, false
		case pid == 0:
			return reaped, true
		default:
			reaped++
		}
	}
}

// signalName gives a signal's name as signal(7) has it.
func signalName(s syscall.Signal) string {
	if name, ok := signalNames[s]; ok {
		return name
	}
	return "signal " + strconv.Itoa(int(s))
}

var signalNames = map[syscall.Signal]string{
	syscall.SIGHUP: "SIGHUP", syscall.SIGINT: "SIGINT", syscall.SIGQUIT: "SIGQUIT", syscall.SIGILL: "SIGILL",
	syscall.SIGTRAP: "SIGTRAP", syscall.SIGABRT: "SIGABRT", syscall.SIGBUS: "SIGBUS", syscall.SIGFPE: "SIGFPE",
	syscall.SIGKILL: "SIGKILL", syscall.SIGUSR1: "SIGUSR1", syscall.SIGSEGV: "SIGSEGV", syscall.SIGUSR2: "SIGUSR2",
	syscall.SIGPIPE: "SIGPIPE", syscall.SIGALRM: "SIGALRM", syscall.SIGTERM: "SIGTERM", syscall.SIGXCPU: "SIGXCPU",
	syscall.SIGXFSZ: "SIGXFSZ", syscall.SIGVTALRM: "SIGVTALRM", syscall.SIGPROF: "SIGPROF", syscall.SIGIO: "SIGIO",
	syscall.SIGPWR: "SIGPWR", syscall.SIGSYS: "SIGSYS", syscall.SIGSTKFLT: "SIGSTKFLT",
}
