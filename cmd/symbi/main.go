// Command symbi is the whole product in one binary: the client's commands, and
// the processes (dev, server, worker). A file holds a group of commands; what
// they do lies in package client, and in internal/boot for the processes.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"symbi.dev/symbi/agent"
)

// version is set by the linker; `go install` leaves it to the build's own notes.
var version string

// Exit codes (INTERFACES.md).
const (
	exitFailed      = 1
	exitInvalid     = 2
	exitDenied      = 3
	exitAbsent      = 4 // or a conflict
	exitUnavailable = 5
	exitTimedOut    = 124
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRoot().ExecuteContext(ctx)
	stop()
	os.Exit(exitCode(err))
}

// newRoot is the command that all others hang on.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "symbi",
		Short:         "A secure, durable runtime for autonomous agents",
		Long:          "Symbi runs agents as Temporal workflows and their code in Docker and gVisor sandboxes.\nBegin with `symbi dev` in one terminal and `symbi run FILE` in another.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       versionWords(),
	}
	root.SuggestionsMinimumDistance = 2
	c := &cli{out: os.Stdout, errOut: os.Stderr}
	c.addConnectionFlags(root)
	root.AddCommand(
		c.runCommand(), c.applyCommand(), c.agentCommand(), c.taskCommand(), c.statusCommand(), c.versionCommand(),
		c.devCommand(), c.loginCommand(), c.serverCommand(), c.workerCommand(),
	)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return agent.Errorf(agent.ErrInvalid, "%w; see --help", err)
	})
	return root
}

// taskError is the end of a task that a command waited for.
type taskError struct {
	code    int
	message string
}

// Error says how it ended.
func (e *taskError) Error() string { return e.message }

// exitCode prints an error and gives the code for it.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	var ended *taskError
	if errors.As(err, &ended) {
		fmt.Fprintln(os.Stderr, ended.message)
		return ended.code
	}
	fmt.Fprintln(os.Stderr, "symbi:", describe(err))
	switch {
	case errors.Is(err, agent.ErrDenied):
		return exitDenied
	case errors.Is(err, agent.ErrNotFound), errors.Is(err, agent.ErrConflict):
		return exitAbsent
	case errors.Is(err, agent.ErrUnavailable), errors.Is(err, agent.ErrExhausted):
		return exitUnavailable
	}
	return exitInvalid
}

// fileError is an error of a file, so that its fields can be shown with the
// file's name and editors can jump to them.
type fileError struct {
	file string
	err  error
}

func (e *fileError) Error() string { return describe(e) }
func (e *fileError) Unwrap() error { return e.err }

// describe writes an error with one line a field.
func describe(err error) string {
	var known *agent.Error
	if !errors.As(err, &known) || len(known.Fields) == 0 {
		return err.Error()
	}
	text, file := known.Message, ""
	var of *fileError
	if errors.As(err, &of) {
		file = of.file
	}
	for _, f := range known.Fields {
		if file != "" && f.Line > 0 {
			text += fmt.Sprintf("\n%s:%d:%d: %s: %s", file, f.Line, max(f.Column, 1), f.Path, f.Message)
			continue
		}
		text += "\n  " + f.String()
	}
	return text
}

// versionWords is what `symbi version` says.
func versionWords() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(c.out, versionWords())
			return err
		},
	}
}
