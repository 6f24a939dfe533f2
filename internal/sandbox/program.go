package sandbox

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox/initproto"
)

// Bounds that init sets for the program, or keeps itself.
const (
	maxOpenFiles = 16_384
	// maxProcesses is RLIMIT_NPROC in the gvisor tier, where the engine's
	// limit counts the runtime's own threads and meeting it ends the sandbox.
	// On the host's kernel the same limit would count every process of this
	// user on the node, so there the engine's limit holds alone.
	maxProcesses = 256
	// The log's kept parts fit into the control folder beside the result; the
	// later part rotates, so that up to twice of it lies there.
	logHeadBytes = 2 << 20
	logTailBytes = 4 << 20
	// stopGrace is a program's when it states none.
	stopGrace = 500 * time.Millisecond
	// Init says that it lives five times in a lease's time to live, within
	// bounds: a program's end is not to be noticed late, nor a node be busy
	// with it.
	aliveShare   = 5
	aliveAtLeast = 100 * time.Millisecond
	aliveAtMost  = 5 * time.Second
)

// task is what init is told.
func (d *Driver) task(s *Spec, img Image) initproto.Task {
	t := initproto.Task{
		Argv: argv(s.Program, img), Env: environment(s, img), Dir: initproto.WorkDir, Tier: string(s.Tier),
		MaxOpenFiles: maxOpenFiles,
		StopGraceMS:  grace(s.Program).Milliseconds(),
		AliveEveryMS: min(max(d.cfg.LeaseTTL/aliveShare, aliveAtLeast), aliveAtMost).Milliseconds(),
		LogHeadBytes: logHeadBytes, LogTailBytes: logTailBytes,
		SilenceEndsMS: d.cfg.LeaseTTL.Milliseconds(),
	}
	if s.Tier == agent.TierGVisor {
		t.MaxProcesses = maxProcesses
	}
	if s.Program.Container != nil && img.WorkingDir != "" {
		t.Dir = img.WorkingDir
	}
	return t
}

// grace is how long a program has between being asked to end and being killed.
func grace(p agent.Program) time.Duration {
	if p.StopGrace > 0 {
		return p.StopGrace.Std()
	}
	return stopGrace
}

// argv is the command line: a script's interpreter and file, or what the
// manifest and the image say, as Kubernetes reads them.
func argv(p agent.Program, img Image) []string {
	if s := p.Script; s != nil {
		file := path.Join(initproto.ProgramDir, scriptName(s))
		interpreter := "/bin/sh"
		if s.Language == agent.Python {
			interpreter = "python3"
		}
		return append([]string{interpreter, file}, s.Args...)
	}
	c := p.Container
	switch {
	case len(c.Command) > 0:
		return slices.Concat(c.Command, c.Args)
	case len(c.Args) > 0:
		return slices.Concat(img.Entrypoint, c.Args)
	}
	return slices.Concat(img.Entrypoint, img.Cmd)
}

// defaultPath is where commands are looked for when an image does not say.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is the program's, complete: the image's, what every program may
// expect, the manifest's, and the names of our own, which nothing overrides.
func environment(s *Spec, img Image) []string {
	env := map[string]string{"PATH": defaultPath, "LANG": "C.UTF-8"}
	for _, kv := range img.Env {
		if k, v, ok := strings.Cut(kv, "="); ok {
			env[k] = v
		}
	}
	env["HOME"] = initproto.WorkDir
	env["TMPDIR"] = "/tmp"
	for k, v := range s.Program.Env {
		env[k] = v
	}
	env["PATH"] += ":" + initproto.BinDir // symbi-agent
	env["PYTHONPATH"] = strings.TrimPrefix(env["PYTHONPATH"]+":"+initproto.LibDir, ":")
	for k := range env {
		if strings.HasPrefix(k, "SYMBI_") {
			delete(env, k)
		}
	}
	env["SYMBI_TASK_ID"] = string(s.Task.Task)
	env["SYMBI_AGENT"] = string(s.Task.Agent)
	env["SYMBI_NAMESPACE"] = string(s.Task.Namespace)
	env["SYMBI_ATTEMPT"] = strconv.Itoa(s.Attempt)
	env["SYMBI_INPUT"] = initproto.InputDir
	env["SYMBI_PARAMS"] = initproto.ParamsFile
	env["SYMBI_OUTPUT"] = initproto.OutputDir
	env["SYMBI_RESULT"] = initproto.ResultFile
	env["SYMBI_SOCKET"] = initproto.Socket
	list := make([]string, 0, len(env))
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}
