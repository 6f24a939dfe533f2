package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox/initproto"
)

// ending is all that is known of a sandbox that is over.
type ending struct {
	rec         record
	exit        *initproto.Exit // what init left; nil when the sandbox itself died
	result      []byte          // what the program left as its result; nil for nothing
	resultErr   error           // why it cannot be taken
	full        string          // what of the task folder was used up: "room", "files"
	code        int             // the container's exit code
	oomKilled   bool            // the engine saw a kill for memory
	engineError string
	gone        bool // somebody removed the container
	logBytes    int64
	logDropped  int64
}

// Bounds of what is read of the control folder.
const (
	maxExit   = 64 << 10
	maxParams = 1 << 20
)

// readEnding reads what lies in the sandbox's folders after its end.
func (sb *Sandbox) readEnding(e *ending) {
	control := sb.folder.control()
	if b, err := readSmall(control, filepath.Base(initproto.ExitFile), maxExit); err == nil {
		exit := new(initproto.Exit)
		if json.Unmarshal(b, exit) == nil {
			e.exit = exit
		}
	}
	e.result, e.resultErr = readSmall(control, filepath.Base(initproto.ResultFile), initproto.MaxResult)
	if errors.Is(e.resultErr, fs.ErrNotExist) {
		e.resultErr = nil
	}
	e.full = usedUp(sb.folder.task())
	e.logBytes, e.logDropped = sb.logSize()
}

// usedUp says what a task folder has run out of, if anything.
func usedUp(dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return ""
	}
	switch {
	case st.Bavail == 0:
		return "room"
	case st.Ffree == 0:
		return "files"
	}
	return ""
}

// outcome says how a sandbox ended.
func (d *Driver) outcome(e *ending) agent.Outcome {
	now := d.cfg.Now()
	o := agent.Outcome{
		StartedAt: e.rec.StartedAt, EndedAt: now, Tier: e.rec.Tier, ImageDigest: string(e.rec.Digest),
		LogBytes: e.logBytes, LogDropped: e.logDropped, Limits: d.limits(&e.rec),
	}
	if e.exit != nil {
		// Init knows the start to the microsecond, and we hear of it later; only
		// the timeout goes by what we heard.
		o.EndedAt = within(e.exit.EndedAt, e.rec.LaunchedAt, now)
		if e.exit.Reason != initproto.NotStarted && e.exit.Reason != initproto.WrongTier {
			o.StartedAt = within(e.exit.StartedAt, e.rec.LaunchedAt, o.EndedAt)
		}
	}
	o.Usage = usage(&e.rec, o.StartedAt, o.EndedAt)
	o.Failure, o.Cancelled = e.judge()
	if o.Failure == nil && !o.Cancelled {
		o.Result = e.result
	}
	return o
}

// within keeps a time that a program may have written within what the host saw.
func within(t, from, to time.Time) time.Time {
	switch {
	case t.Before(from):
		return from
	case t.After(to):
		return to
	}
	return t.UTC()
}

// usage puts the accounts into the words of the API.
func usage(r *record, started, ended time.Time) agent.Usage {
	u := agent.Usage{
		CPUSeconds: r.Used.CPU.Seconds(), PeakMemoryBytes: r.Used.PeakMemory,
		DiskReadBytes: r.Used.Read, DiskWriteBytes: r.Used.Written, ThrottledSeconds: r.Used.Throttled.Seconds(),
	}
	if !started.IsZero() {
		u.WallSeconds = ended.Sub(started).Seconds()
		u.FrozenSeconds = r.frozen(ended).Seconds()
	}
	return u
}

// judge finds out whose fault the end was, if anybody's. What a program did
// before an order to stop reached it counts as done.
func (e *ending) judge() (failure *agent.Failure, cancelled bool) {
	byItself := e.exit != nil && (e.exit.Reason == initproto.Exited || e.exit.Reason == initproto.Signaled)
	if stop := e.rec.Stop; stop != nil && (!byItself || stop.Cause == stopRuntime) {
		return e.stopped(stop)
	}
	if e.exit == nil {
		return e.died(), false
	}
	switch e.exit.Reason {
	case initproto.WrongTier:
		return e.wrongRuntime("init found itself in the kernel " + e.exit.Kernel), false
	case initproto.NotStarted:
		return e.notStarted(), false
	case initproto.Fenced:
		return fenced("the gateway did not answer"), false
	case initproto.Stopped:
		return e.outsider(), false
	case initproto.Exited, initproto.Signaled:
		return e.exited(), false
	}
	return e.died(), false
}

// stopped is the end of what was told to end.
func (e *ending) stopped(stop *stopOrder) (*agent.Failure, bool) {
	switch stop.Cause {
	case stopTimeout:
		limit := e.rec.Resources.ExecutionTimeout
		return &agent.Failure{
			Class: agent.FailResources, Code: agent.CodeTimeout,
			Cause:    fmt.Sprintf("it ran for longer than %s", limit),
			NextStep: "raise resources.execution_timeout, or give it less to do; then `symbi task retry`",
		}, false
	case stopFenced:
		return fenced(stop.Reason), false
	case stopRuntime:
		return e.wrongRuntime(stop.Reason), false
	case stopSilent:
		return &agent.Failure{
			Class: agent.FailSandbox, Code: agent.CodeSandboxStart,
			Cause:    fmt.Sprintf("init did not start the program within %s", startTimeout),
			NextStep: "the node may be overloaded; look at its load, then `symbi task retry`",
		}, false
	}
	return nil, true
}

// outOfMemory reports whether the kernel ended something for its memory.
func (e *ending) outOfMemory() bool { return e.oomKilled || e.rec.Used.OOMKills > 0 }

func (e *ending) memoryFailure() *agent.Failure {
	return &agent.Failure{
		Class: agent.FailResources, Code: agent.CodeOutOfMemory,
		Cause:    fmt.Sprintf("it used more than its %d MB of memory", e.rec.Resources.MemoryMB),
		NextStep: "raise resources.memory_mb, or give it less to do at once; then `symbi task retry`",
	}
}

// died is the end of a sandbox that left no record.
func (e *ending) died() *agent.Failure {
	if e.outOfMemory() {
		return e.memoryFailure()
	}
	cause := fmt.Sprintf("the sandbox itself died, with exit code %d", e.code)
	next := "`symbi task retry`; if it happens again, look at the engine's log on the node"
	switch {
	case e.gone:
		cause, next = "somebody removed its container", "`symbi task retry`"
	case e.rec.Used.NoProcess > 0:
		cause += fmt.Sprintf(", after it had more than %d processes and threads", *pids(e.rec.Tier))
		next = "look for processes that start processes without end"
	case e.engineError != "":
		cause += ": " + e.engineError
	}
	return &agent.Failure{Class: agent.FailSandbox, Code: agent.CodeSandboxDied, Cause: cause, NextStep: next}
}

func (e *ending) wrongRuntime(found string) *agent.Failure {
	return &agent.Failure{
		Class: agent.FailSandbox, Code: agent.CodeWrongRuntime,
		Cause: fmt.Sprintf("the engine's runtime for the %s tier is not what it should be: %s; the program was not trusted to it",
			e.rec.Tier, found),
		NextStep: "see what the engine starts (docker info, /etc/docker/daemon.json) and run deploy/setup.sh on the node; then `symbi task retry`",
	}
}

// notStarted is the end of a program that init did not start. It says why, in
// words for a person.
func (e *ending) notStarted() *agent.Failure {
	if !e.exit.NotFound {
		return &agent.Failure{
			Class: agent.FailSandbox, Code: agent.CodeSandboxStart, Cause: "init did not start the program: " + clip(e.exit.Error),
			NextStep: "`symbi task retry`; if it happens again, look at the log of the node's worker",
		}
	}
	return &agent.Failure{
		Class: agent.FailProgram, Code: agent.CodeCommandNotFound, Cause: clip(e.exit.Error),
		NextStep: "correct program.container in the manifest, or the image " + e.rec.Image,
	}
}

func fenced(why string) *agent.Failure {
	return &agent.Failure{
		Class: agent.FailSandbox, Code: agent.CodeFenced,
		Cause:    "it lost contact with the runtime for longer than its lease lives, and was ended: " + why,
		NextStep: "see why the node's worker was away; `symbi task retry`, or class sandbox in tasks.retry.on, runs it again",
	}
}

// outsider is the end of a program that somebody ended behind our back.
func (e *ending) outsider() *agent.Failure {
	return &agent.Failure{
		Class: agent.FailSandbox, Code: agent.CodeSandboxDied,
		Cause:    "somebody else stopped its container",
		NextStep: "see who uses the engine beside Symbi; `symbi task retry`",
	}
}

// exited is the end of a program that ended by itself.
func (e *ending) exited() *agent.Failure {
	x := e.exit
	bad := x.Reason == initproto.Signaled || x.Code != 0
	switch {
	case bad && e.outOfMemory():
		return e.memoryFailure()
	case x.Reason == initproto.Signaled:
		return &agent.Failure{
			Class: agent.FailProgram, Code: agent.CodeSignal,
			Cause:    "it was ended by signal " + clip(x.Signal) + e.fullWords(),
			NextStep: "`symbi task logs` shows what it said; " + e.fullStep() + "`symbi task retry` runs it again with the same inputs",
		}
	case bad:
		code := x.Code
		return &agent.Failure{
			Class: agent.FailProgram, Code: agent.CodeExit, ExitCode: &code,
			Cause:    fmt.Sprintf("it exited with code %d", code) + e.fullWords(),
			NextStep: "`symbi task logs` shows what it said; " + e.fullStep() + "`symbi task retry` runs it again with the same inputs",
		}
	}
	return e.badResult()
}

// fullWords and fullStep speak of a task folder that is full.
func (e *ending) fullWords() string {
	switch e.full {
	case "room":
		return fmt.Sprintf("; its %d MB of scratch space were used up", e.rec.ScratchMB)
	case "files":
		return fmt.Sprintf("; it had made as many files as %d MB of scratch space hold", e.rec.ScratchMB)
	}
	return ""
}

func (e *ending) fullStep() string {
	if e.full == "" {
		return ""
	}
	return "raise filesystem.scratch_mb, or have it write less; "
}

// badResult is nil unless the result cannot be taken.
func (e *ending) badResult() *agent.Failure {
	var why string
	switch {
	case errors.Is(e.resultErr, errTooLarge):
		why = fmt.Sprintf("has more than %d bytes; write large things to $SYMBI_OUTPUT", initproto.MaxResult)
	case errors.Is(e.resultErr, errNotPlain):
		why = "is no regular file"
	case e.resultErr != nil:
		why = "cannot be read"
	case len(e.result) > 0 && !json.Valid(e.result):
		why = "is not valid JSON"
	default:
		return nil
	}
	return &agent.Failure{
		Class: agent.FailProgram, Code: agent.CodeBadResult, Cause: "what it left in $SYMBI_RESULT " + why,
		NextStep: "have it write one JSON value there, or nothing",
	}
}

// clip keeps what a program wrote short.
func clip(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
