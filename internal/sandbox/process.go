package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox/initproto"
)

// process is a container's first process as the host sees it: init itself in
// the docker tier, gVisor's kernel in the gvisor tier. It is held by a
// descriptor, so that a signal never reaches another one of the same number.
type process struct {
	pid int
	fd  int
}

// openProcess takes hold of a container's process. It is an error of kind
// fs.ErrNotExist when that is over, or cannot be seen from here.
func openProcess(pid int, container string) (*process, error) {
	if pid <= 0 {
		return nil, fs.ErrNotExist
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("take hold of a container's process: %w", err)
	}
	p := &process{pid, fd}
	groups, err := os.ReadFile(p.path("cgroup"))
	if err != nil || !bytes.Contains(groups, []byte(container)) {
		p.close()
		return nil, fs.ErrNotExist // another one, or of another namespace
	}
	return p, nil
}

func (p *process) path(name string) string { return "/proc/" + strconv.Itoa(p.pid) + "/" + name }

// signal sends a signal; that the process is over is no error.
func (p *process) signal(s unix.Signal) error {
	err := unix.PidfdSendSignal(p.fd, s, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("signal a container's process: %w", err)
	}
	return nil
}

func (p *process) close() { _ = unix.Close(p.fd) }

// What gVisor's kernel looks like from the host: a process of the binary
// runsc that calls itself runsc-sandbox.
const (
	sentryBinary = "runsc"
	sentryName   = "runsc-sandbox"
)

// tier finds out from the outside which tier's runtime a process belongs to.
// While a container is being started it is neither, and the answer is empty.
func (p *process) tier() (agent.Tier, error) {
	exe, err := os.Readlink(p.path("exe"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return "", fs.ErrNotExist
	}
	if err != nil {
		return "", fmt.Errorf("look at a container's process: %w", err)
	}
	cmdline, err := os.ReadFile(p.path("cmdline"))
	if err != nil {
		return "", fs.ErrNotExist
	}
	name, _, _ := bytes.Cut(cmdline, []byte{0})
	exe = strings.TrimSuffix(exe, " (deleted)")
	switch {
	case filepath.Dir(exe) == initproto.BinDir:
		return agent.TierDocker, nil
	case filepath.Base(exe) == sentryBinary && string(name) == sentryName:
		return agent.TierGVisor, nil
	}
	return "", nil
}
