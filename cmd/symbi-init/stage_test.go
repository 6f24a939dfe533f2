package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/gateway"
	"symbi.dev/symbi/internal/sandbox/initproto"
	"symbi.dev/symbi/internal/tasklog"
)

// The tests of init run the real binary as process 1: in namespaces of its
// own, under a root that has the paths of a sandbox, against a real gateway.

// stageVar tells the test binary to prepare a root and become init there.
const stageVar = "SYMBI_TEST_STAGE"

func TestMain(m *testing.M) {
	if root := os.Getenv(stageVar); root != "" {
		fmt.Fprintln(os.Stderr, "stage:", becomeInit(root))
		os.Exit(99)
	}
	os.Exit(m.Run())
}

// Capabilities that the stage has in its user namespace.
const (
	capSysChroot = 18
	capSysAdmin  = 21
)

// prCapAmbient of prctl(2), and what it is told.
const (
	prCapAmbient         = 47
	prCapAmbientClearAll = 4
)

// becomeInit mounts a sandbox's folders below root and runs init there. It
// sends the control folder over the socket that is its descriptor 3.
func becomeInit(root string) error {
	const bind = syscall.MS_BIND | syscall.MS_REC
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64", "usr", "etc", "dev"} {
		target, err := os.Readlink("/" + name)
		switch {
		case err == nil:
			err = os.Symlink(target, filepath.Join(root, name))
		case errors.Is(err, fs.ErrNotExist):
			continue
		default:
			err = errors.Join(os.Mkdir(filepath.Join(root, name), 0o755), syscall.Mount("/"+name, filepath.Join(root, name), "", bind, ""))
		}
		if err != nil {
			return fmt.Errorf("bring /%s: %w", name, err)
		}
	}
	if err := syscall.Mount("proc", filepath.Join(root, "proc"), "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	control := filepath.Join(root, initproto.ControlDir)
	if err := syscall.Mount("tmpfs", control, "tmpfs", 0, "size=4m,nr_inodes=64,mode=0700"); err != nil {
		return fmt.Errorf("mount the control folder: %w", err)
	}
	if err := sendFolder(3, control); err != nil {
		return fmt.Errorf("send the control folder: %w", err)
	}
	if err := errors.Join(syscall.Chroot(root), os.Chdir("/")); err != nil {
		return fmt.Errorf("enter the root: %w", err)
	}
	if _, _, errno := syscall.AllThreadsSyscall6(syscall.SYS_PRCTL, prCapAmbient, prCapAmbientClearAll, 0, 0, 0, 0); errno != 0 && errno != syscall.ENOTSUP {
		return fmt.Errorf("give up capabilities: %w", errno)
	}
	return syscall.Exec(initproto.BinDir+"/symbi-init", []string{"symbi-init"}, nil)
}

func sendFolder(socket int, name string) error {
	fd, err := syscall.Open(name, syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	syscall.CloseOnExec(socket)
	return syscall.Sendmsg(socket, []byte{1}, syscall.UnixRights(fd), nil, 0)
}

// initBinary builds init as it is shipped.
var initBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "symbi-init")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "symbi-init"), ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build init: %w: %s", err, out)
	}
	return filepath.Join(dir, "symbi-init"), nil
})

// node is the other side of the gateway.
type node struct {
	mu       sync.Mutex
	alive    int
	stop     bool
	exited   []initproto.Exit
	started  chan initproto.Started
	lives    chan struct{} // gets an element at a sign of life, if it has room
	progress []gateway.Progress
	kept     []byte
}

func newNode() *node {
	return &node{started: make(chan initproto.Started, 10), lives: make(chan struct{}, 1)}
}

func (n *node) Started(s initproto.Started) { n.started <- s }

func (n *node) Alive(initproto.Alive) initproto.AliveReply {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.alive++
	select {
	case n.lives <- struct{}{}:
	default:
	}
	return initproto.AliveReply{Stop: n.stop}
}

func (n *node) Exited(e initproto.Exit) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.exited = append(n.exited, e)
}

func (n *node) Load(context.Context) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.kept == nil {
		return nil, agent.Errorf(agent.ErrNotFound, "nothing")
	}
	return n.kept, nil
}

func (n *node) Save(_ context.Context, data []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kept = data
	return nil
}

// openGateway serves a folder's socket.
func openGateway(t *testing.T, dir string, n *node, task initproto.Task) *gateway.Gateway {
	t.Helper()
	g, err := gateway.Open(t.Context(), gateway.Config{
		Dir:  dir,
		Task: gateway.Task{Namespace: "default", Agent: "a", Task: "t", Attempt: 1, Inputs: []gateway.Input{{Name: "big"}, {Name: "a b"}}},
		Init: task, Says: n, Checkpoints: n, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
		OpenInput: func(_ context.Context, name string) (io.ReadSeekCloser, error) {
			return struct {
				io.ReadSeeker
				io.Closer
			}{strings.NewReader(strings.Repeat(name, 1<<20)), io.NopCloser(nil)}, nil
		},
		OnProgress: func(_ context.Context, p gateway.Progress) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.progress = append(n.progress, p)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Errorf("close the gateway: %v", err)
		}
	})
	return g
}

// box is a running init.
type box struct {
	*node
	t       *testing.T
	root    string
	task    initproto.Task
	gateway *gateway.Gateway
	cmd     *exec.Cmd
	ended   chan error
	control *os.File
}

// script is a task that runs a shell script.
func script(text string) initproto.Task { return command("/bin/sh", "-c", text) }

// command is a task as nodes make them.
func command(argv ...string) initproto.Task {
	return initproto.Task{
		Argv: argv, Dir: "/symbi/task", Tier: "docker",
		Env:         []string{"PATH=/usr/bin:/bin:/symbi/task", "SYMBI_SOCKET=" + initproto.Socket},
		StopGraceMS: 60_000, AliveEveryMS: 100, SilenceEndsMS: 60_000,
		LogHeadBytes: 128 << 10, LogTailBytes: 256 << 10,
	}
}

// shortDir makes a folder whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "in")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// launch starts init with a task, and a gateway that gives it.
func launch(t *testing.T, task initproto.Task) *box {
	t.Helper()
	b := makeRoot(t, task)
	b.gateway = openGateway(t, b.socketDir(), b.node, task)
	b.start()
	return b
}

// makeRoot makes the root of a sandbox.
func makeRoot(t *testing.T, task initproto.Task) *box {
	t.Helper()
	binary, err := initBinary()
	if err != nil {
		t.Fatal(err)
	}
	b := &box{node: newNode(), t: t, root: shortDir(t), task: task, ended: make(chan error, 1)}
	for _, dir := range []string{"proc", "tmp", "run/symbi", "symbi/control", "symbi/bin", "symbi/task"} {
		if err := os.MkdirAll(filepath.Join(b.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"symbi-init", "symbi-agent"} {
		data, err := os.ReadFile(binary)
		if err == nil {
			err = os.WriteFile(filepath.Join(b.root, "symbi/bin", name), data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *box) socketDir() string { return filepath.Join(b.root, initproto.SocketDir) }

// start runs init in namespaces of its own.
func (b *box) start() {
	b.t.Helper()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	b.cmd = exec.Command("/proc/self/exe")
	b.cmd.Env = []string{stageVar + "=" + b.root}
	b.cmd.ExtraFiles = []*os.File{theirs}
	var said strings.Builder
	b.cmd.Stdout, b.cmd.Stderr = &said, &said
	self := func(id int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: initproto.UserID, HostID: id, Size: 1}}
	}
	b.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		UidMappings: self(os.Getuid()), GidMappings: self(os.Getgid()),
		AmbientCaps: []uintptr{capSysAdmin, capSysChroot},
	}
	err = b.cmd.Start()
	_ = theirs.Close()
	if errors.Is(err, syscall.EPERM) {
		b.t.Skip("this machine lets nobody make user namespaces, in which init is tested as process 1")
	}
	if err != nil {
		b.t.Fatal(err)
	}
	go func() { b.ended <- b.cmd.Wait() }()
	b.t.Cleanup(func() {
		_ = b.cmd.Process.Kill() // it is over, unless the test has failed
		if b.t.Failed() && said.Len() > 0 {
			b.t.Logf("init said: %s", said.String())
		}
	})
	b.control, err = receiveFolder(ours)
	if err != nil {
		b.t.Fatalf("%v: %s", err, said.String())
	}
	b.t.Cleanup(func() { _ = b.control.Close() })
}

func receiveFolder(socket *os.File) (*os.File, error) {
	c, err := net.FileConn(socket)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	oob := make([]byte, syscall.CmsgSpace(4))
	_, n, _, _, err := c.(*net.UnixConn).ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return nil, err
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("no folder came: %v", err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "control"), nil
}

// patience is how long a test waits for what must come.
const patience = 90 * time.Second

// untilStarted waits for the program.
func (b *box) untilStarted() initproto.Started {
	b.t.Helper()
	select {
	case s := <-b.started:
		return s
	case <-time.After(patience):
		b.t.Fatal("the program was never started")
	}
	panic("unreachable")
}

// untilAlive waits for a sign of life that is yet to come.
func (b *box) untilAlive(n *node) {
	b.t.Helper()
	for range 2 { // the first may be an old one
		select {
		case <-n.lives:
		case <-time.After(patience):
			b.t.Fatal("no sign of life")
		}
	}
}

// untilSaid waits for words in the log.
func (b *box) untilSaid(words string) {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for !strings.Contains(b.text(), words) {
		if time.Now().After(deadline) {
			b.t.Fatalf("the program never said %q, but %q", words, b.text())
		}
		<-time.After(5 * time.Millisecond)
	}
}

// end waits for init's end and gives its exit code and record.
func (b *box) end() (int, initproto.Exit) {
	b.t.Helper()
	select {
	case <-b.ended:
	case <-time.After(patience):
		b.t.Fatal("init never ends")
	}
	var record initproto.Exit
	data, err := os.ReadFile(b.path(initproto.ExitFile))
	if err == nil {
		err = json.Unmarshal(data, &record)
	}
	if err != nil {
		b.t.Fatalf("the exit record: %v; code %d", err, b.cmd.ProcessState.ExitCode())
	}
	return b.cmd.ProcessState.ExitCode(), record
}

// path gives a file of the control folder.
func (b *box) path(file string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", b.control.Fd(), filepath.Base(file))
}

// records reads the whole log, with gaps.
func (b *box) records() []tasklog.Record {
	b.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/self/fd/%d", b.control.Fd()))
	if err != nil {
		b.t.Fatal(err)
	}
	var starts []int64
	for _, e := range entries {
		var at int64
		if n, _ := fmt.Sscanf(e.Name(), filepath.Base(initproto.LogPrefix)+"%d", &at); n == 1 {
			starts = append(starts, at)
		}
	}
	slices.Sort(starts)
	var all []tasklog.Record
	var next int64
	for _, at := range starts {
		if at > next {
			all = append(all, tasklog.Record{Gap: at - next, Next: at})
		}
		next = at
		f, err := os.Open(b.path(fmt.Sprintf("%s%d", initproto.LogPrefix, at)))
		if errors.Is(err, fs.ErrNotExist) {
			continue // rotated away meanwhile
		}
		if err != nil {
			b.t.Fatal(err)
		}
		for r := tasklog.NewReader(f, at); ; {
			rec, err := r.Read()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					b.t.Errorf("segment %d: %v", at, err)
				}
				break
			}
			all, next = append(all, rec), rec.Next
		}
		_ = f.Close()
	}
	return all
}

// text gives what the program printed to stdout.
func (b *box) text() string {
	var s strings.Builder
	for _, r := range b.records() {
		if r.Gap > 0 || r.Stderr {
			continue
		}
		s.Write(r.Text)
		if !r.Partial {
			s.WriteByte('\n')
		}
	}
	return s.String()
}

// signal sends a signal to init, as the engine does.
func (b *box) signal(s syscall.Signal) {
	b.t.Helper()
	if err := b.cmd.Process.Signal(s); err != nil {
		b.t.Fatal(err)
	}
}

// release makes the file that a script waits for with awaitRelease.
func (b *box) release() {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.root, "symbi/task/go"), nil, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// awaitRelease is shell for waiting until release is called.
const awaitRelease = "while [ ! -e /symbi/task/go ]; do sleep 0.05; done; "

// commandOf is a command whose output is collected.
func commandOf(name string, out io.Writer) *exec.Cmd {
	cmd := exec.Command(name)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd
}
