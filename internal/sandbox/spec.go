package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox/initproto"
)

// Spec is what one sandbox is for: one attempt of one task.
type Spec struct {
	Lease     agent.LeaseID // names the sandbox; the same lease is the same sandbox
	Task      agent.TaskRef
	Attempt   int
	Tier      agent.Tier
	Program   agent.Program
	Script    Put             // places the text of a script whose Code is empty
	Params    json.RawMessage // a JSON object; none is {}
	Inputs    []Input
	Resources agent.Resources
	ScratchMB int64 // MiB
	// Frozen says that a hold stands: the program is not started before Thaw,
	// and frozen if it runs already.
	Frozen bool
	Seq    int64 // of Frozen, among the orders to Freeze and Thaw; see Freeze
}

// Input is one input of a task.
type Input struct {
	Name string
	Put  Put
}

// Put makes a new file at path with some content, readable by everybody and
// writable by none. It may link: the file is never written.
type Put func(ctx context.Context, path string) error

// FromBytes puts some bytes.
func FromBytes(b []byte) Put {
	return func(_ context.Context, path string) error { return writeFile(path, bytes.NewReader(b), 0o444) }
}

// FromFile puts a file of the host, by a link where the file system allows
// it; the file must be readable by everybody and never change.
func FromFile(from string) Put {
	return func(_ context.Context, path string) error {
		if os.Link(from, path) == nil {
			return nil
		}
		return copyFile(from, path, 0o444)
	}
}

// copyFile copies a file's content.
func copyFile(from, to string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return writeFile(to, in, mode)
}

// writeFile makes a file, whose mode is as given whatever the umask.
func writeFile(path string, from io.Reader, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// makeDir makes a folder and those above it; its own mode is as given whatever
// the umask.
func makeDir(path string, mode os.FileMode) error {
	if err := errors.Join(os.MkdirAll(path, mode), os.Chmod(path, mode)); err != nil {
		return fmt.Errorf("make a sandbox's folder: %w", err)
	}
	return nil
}

// check refuses what cannot be run, whatever the engine.
func (s *Spec) check() error {
	p := s.Program
	switch {
	case (p.Script == nil) == (p.Container == nil):
		return agent.Errorf(agent.ErrInvalid, "a program is either a script or a container")
	case p.Script != nil && p.Script.Code == "" && s.Script == nil:
		return agent.Errorf(agent.ErrInvalid, "the script's text is missing")
	case s.Tier != agent.TierDocker && s.Tier != agent.TierGVisor:
		return agent.Errorf(agent.ErrInvalid, "%q is not a tier", s.Tier)
	case s.Resources.MemoryMB <= 0, s.Resources.CPUCores <= 0, s.Resources.ExecutionTimeout <= 0:
		return agent.Errorf(agent.ErrInvalid, "memory, CPU and time of a sandbox must be limited")
	}
	for _, in := range s.Inputs {
		if err := agent.CheckName(in.Name); err != nil {
			return agent.Errorf(agent.ErrInvalid, "name an input: %w", err)
		}
	}
	return nil
}

// scriptFile keeps the names of scripts plain.
var scriptFile = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$`)

// scriptName is what a script's file is called in the sandbox: its own name
// where that is plain, because programs and tracebacks show it.
func scriptName(s *agent.Script) string {
	if name := filepath.Base(s.File); scriptFile.MatchString(name) && name != filepath.Base(initproto.ParamsFile) {
		return name
	}
	if s.Language == agent.Python {
		return "script.py"
	}
	return "script.sh"
}

// put fills the folders that the program reads.
func (s *Spec) put(ctx context.Context, t taskFolder) error {
	params := s.Params
	if len(params) == 0 {
		params = json.RawMessage("{}")
	}
	if err := FromBytes(params)(ctx, filepath.Join(t.program(), filepath.Base(initproto.ParamsFile))); err != nil {
		return fmt.Errorf("put the parameters in place: %w", err)
	}
	if script := s.Program.Script; script != nil {
		put := s.Script
		if script.Code != "" {
			put = FromBytes([]byte(script.Code))
		}
		if err := put(ctx, filepath.Join(t.program(), scriptName(script))); err != nil {
			return fmt.Errorf("put the script in place: %w", err)
		}
	}
	for _, in := range s.Inputs {
		if err := in.Put(ctx, filepath.Join(t.input(), in.Name)); err != nil {
			return fmt.Errorf("put input %s in place: %w", in.Name, err)
		}
	}
	return nil
}
