// Package initproto is what a node and the init process of a sandbox say to
// each other: the paths inside a sandbox, the task that init fetches over the
// gateway's socket, and the records that it leaves in the control folder.
//
// It imports the standard library only and little of it, because it is linked
// into symbi-init, the small static program that is process 1 of every
// sandbox. A field may be added; none changes its meaning, because a node may
// adopt a sandbox whose init is older than itself.
package initproto

import "time"

// Paths inside a sandbox. Programs learn theirs from SYMBI_ variables and
// should not rely on these.
const (
	BinDir       = "/symbi/bin"            // read-only: symbi-init, symbi-agent
	LibDir       = "/symbi/lib"            // read-only: symbi.py
	SocketDir    = "/run/symbi"            // the gateway's socket lies here
	Socket       = "/run/symbi/agent.sock" //
	InputDir     = "/symbi/input"          // read-only: one file an input
	ProgramDir   = "/symbi/program"        // read-only: params.json, and the script if there is one
	ParamsFile   = "/symbi/program/params.json"
	TaskDir      = "/symbi/task" // the sized folder: output/, work/ (also HOME), tmp/ (also /tmp)
	OutputDir    = "/symbi/task/output"
	WorkDir      = "/symbi/task/work"
	ControlDir   = "/symbi/control" // small, in memory: log segments, exit record, result
	ResultFile   = "/symbi/control/result.json"
	ExitFile     = "/symbi/control/exit.json"
	LogPrefix    = "/symbi/control/log." // + the segment's first offset in the whole log
	StartedFile  = "/symbi/control/started.json"
	UserID       = 65534 // nobody; init and program run as it
	MaxResult    = 1 << 20
	MaxLineBytes = 16 << 10 // longer lines are split, see Record
)

// Routes of the gateway that only init calls, beside those of INTERFACES.md.
const (
	RouteTask    = "/v1/init/task"    // GET: Task
	RouteAlive   = "/v1/init/alive"   // POST: Alive; answers AliveReply
	RouteStarted = "/v1/init/started" // POST: Started
	RouteExited  = "/v1/init/exited"  // POST: Exit (also on disk; this only saves waiting)
)

// Task is what init is to do.
type Task struct {
	Argv          []string `json:"argv"`
	Env           []string `json:"env"` // complete; nothing is inherited
	Dir           string   `json:"dir"`
	Tier          string   `json:"tier"`          // init refuses to run a gvisor task on another kernel
	MaxProcesses  uint64   `json:"max_processes"` // RLIMIT_NPROC
	MaxOpenFiles  uint64   `json:"max_open_files"`
	StopGraceMS   int64    `json:"stop_grace_ms"`   // between SIGTERM and SIGKILL
	AliveEveryMS  int64    `json:"alive_every_ms"`  // how often init calls RouteAlive
	SilenceEndsMS int64    `json:"silence_ends_ms"` // the dead man's switch: gateway silent this long ends the program
	LogHeadBytes  int64    `json:"log_head_bytes"`  // kept from the beginning
	LogTailBytes  int64    `json:"log_tail_bytes"`  // kept from the end, at least
}

// Alive is init's sign of life.
type Alive struct {
	LogBytes int64 `json:"log_bytes"` // written so far, dropped ones included
}

// AliveReply answers it; Stop asks init to end the program as SIGTERM does.
type AliveReply struct {
	Stop bool `json:"stop"`
}

// Started says that the program was started, and in what kernel.
type Started struct {
	At     time.Time `json:"at"`
	Kernel string    `json:"kernel"` // "gvisor" or "linux", as init found it
	PID    int       `json:"pid"`
}

// ExitReason says why a program is over.
type ExitReason string

// The reasons.
const (
	Exited     ExitReason = "exited"      // by itself; Code tells
	Signaled   ExitReason = "signaled"    // by a signal that init did not send; Signal tells
	Stopped    ExitReason = "stopped"     // init was asked to end it
	Fenced     ExitReason = "fenced"      // the gateway was silent for too long
	NotStarted ExitReason = "not-started" // Error tells; NotFound when the command is absent
	WrongTier  ExitReason = "wrong-tier"  // the kernel is not the one the task asked for
)

// Exit is the record that init leaves in ExitFile, written whole and then
// renamed into place. No exit record means that the sandbox itself died.
type Exit struct {
	Reason     ExitReason `json:"reason"`
	Code       int        `json:"code"`
	Signal     string     `json:"signal,omitempty"`
	Error      string     `json:"error,omitempty"`
	NotFound   bool       `json:"not_found,omitempty"`
	Killed     bool       `json:"killed,omitempty"` // it ignored SIGTERM for the whole grace
	Orphans    int        `json:"orphans"`          // processes it left behind, which init killed
	StartedAt  time.Time  `json:"started_at"`
	EndedAt    time.Time  `json:"ended_at"`
	LogBytes   int64      `json:"log_bytes"`   // written in all
	LogDropped int64      `json:"log_dropped"` // of them not kept
	Kernel     string     `json:"kernel"`
}

// Log segments. The log is one stream of records; segment files are named by
// the offset of their first byte. The first segment (log.0) is kept and never
// grows past LogHeadBytes; later ones rotate so that at least the last
// LogTailBytes are kept. A reader that finds a gap between two segments knows
// that the bytes between them were dropped.
//
// A record is one line: microseconds since 1970 in decimal, a space, the
// stream's letter, a space, the bytes of the line, and "\n". The letter is 'o'
// for stdout and 'e' for stderr; upper case when the line goes on in the
// stream's next record. The bytes are the program's own, whatever their encoding;
// "\r" before the line's end and NUL bytes are kept.
const (
	StreamOut     = 'o'
	StreamErr     = 'e'
	StreamOutPart = 'O'
	StreamErrPart = 'E'
)
