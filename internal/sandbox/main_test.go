package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox/initproto"
)

// node is what the tests of this package share: one node with the real engine
// and the real init.
var node struct {
	dir  string
	init string
	*Driver
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperDir); dir != "" {
		os.Exit(helperMain(dir))
	}
	// Most of the time a sandbox is waited for, not computed in.
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandbox tests:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	if os.Getuid() != 0 {
		return 1, errors.New("sandboxes mount folders; run the tests as root")
	}
	node.dir, err = os.MkdirTemp("/tmp", "sbx")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(node.dir)
	node.init = filepath.Join(node.dir, "symbi-init")
	build := exec.Command("go", "build", "-o", node.init, "symbi.dev/symbi/cmd/symbi-init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build symbi-init: %w\n%s", err, out)
	}
	ctx := context.Background()
	node.Driver, err = Open(ctx, testConfig(filepath.Join(node.dir, "data"), node.init))
	if err != nil {
		return 1, err
	}
	if h := node.Check(ctx); len(h.Problems) > 0 {
		return 1, fmt.Errorf("this machine cannot run sandboxes; run deploy/setup.sh: %v", h.Problems)
	}
	code = m.Run()
	left, err := node.containers(ctx)
	for _, c := range left {
		err = errors.Join(err, fmt.Errorf("the container %v was left behind", c.Names), node.engine.ContainerRemove(ctx, c.ID, removeOptions))
	}
	return code, errors.Join(err, node.Close())
}

// testConfig is a node of its own in a folder.
func testConfig(dir, initBinary string) Config {
	return Config{
		DataDir: dir, Installation: "test" + filepath.Base(filepath.Dir(dir))[3:], Node: "node-a", InitBinary: initBinary,
		Runtimes: DefaultRuntimes(), Images: DefaultImages(), LeaseTTL: time.Minute,
		Gateways: testGateways{}, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	}
}

// testGateways serves init's routes and no more; package gateway has the rest.
type testGateways struct{}

func (testGateways) Open(_ context.Context, s Session) (io.Closer, error) {
	path := filepath.Join(s.Dir, filepath.Base(initproto.Socket))
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		b, _ := json.Marshal(v)
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		_, _ = w.Write(b)
	}
	mux.HandleFunc("GET "+initproto.RouteTask, func(w http.ResponseWriter, r *http.Request) { answer(w, s.Init) })
	mux.HandleFunc("POST "+initproto.RouteAlive, func(w http.ResponseWriter, r *http.Request) {
		answer(w, s.Events.Alive(initproto.Alive{}))
	})
	mux.HandleFunc("POST "+initproto.RouteStarted, func(w http.ResponseWriter, r *http.Request) {
		s.Events.Started(initproto.Started{})
		answer(w, struct{}{})
	})
	mux.HandleFunc("POST "+initproto.RouteExited, func(w http.ResponseWriter, r *http.Request) {
		s.Events.Exited(initproto.Exit{})
		answer(w, struct{}{})
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { _ = srv.Serve(l) }()
	return srv, nil
}

var leases atomic.Int64

// newLease gives a lease that no other test has.
func newLease() agent.LeaseID { return agent.LeaseID(fmt.Sprintf("l%d", leases.Add(1))) }

// shell is a script's task.
func shell(tier agent.Tier, code string) Spec {
	return script(tier, agent.Shell, code)
}

func script(tier agent.Tier, language agent.Language, code string) Spec {
	lease := newLease()
	return Spec{
		Lease: lease, Task: agent.TaskRef{Namespace: "default", Agent: "tester", Task: agent.TaskID("t-" + lease)}, Attempt: 1, Tier: tier,
		Program:   agent.Program{Script: &agent.Script{Language: language, Code: code}, StopGrace: agent.Duration(300 * time.Millisecond)},
		Resources: agent.Resources{MemoryMB: 128, CPUCores: 1, DiskIOMBps: 100, ExecutionTimeout: agent.Duration(time.Minute)},
		ScratchMB: 32,
	}
}

// command is a task that runs a command of an image.
func command(tier agent.Tier, image string, argv ...string) Spec {
	s := shell(tier, "")
	s.Program.Script = nil
	s.Program.Container = &agent.Container{Image: image, Command: argv, Pull: agent.PullNever}
	return s
}

// start starts a task on the shared node and sees to it that it leaves nothing.
func start(t *testing.T, s Spec) *Sandbox {
	t.Helper()
	return startOn(t, node.Driver, s)
}

func startOn(t *testing.T, d *Driver, s Spec) *Sandbox {
	t.Helper()
	sb, err := d.Start(t.Context(), s)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() { removeWhole(t, d, s.Lease) })
	return sb
}

// removeWhole removes a sandbox and checks that nothing is left of it.
func removeWhole(t *testing.T, d *Driver, lease agent.LeaseID) {
	t.Helper()
	var id string
	if sb, ok := d.Sandbox(lease); ok {
		id = sb.container
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := sb.Remove(ctx); err != nil {
			t.Errorf("remove: %v", err)
		}
	}
	expectGone(t, d, lease, id)
}

// expectGone checks that nothing is left of a lease and its container. Engine
// and kernel free much behind our back, so that it may take a moment.
func expectGone(t *testing.T, d *Driver, lease agent.LeaseID, container string) {
	t.Helper()
	look := func() []string { return append(leftovers(t, d, lease), remains(t, container)...) }
	left := look()
	for until := time.Now().Add(10 * time.Second); len(left) > 0 && time.Now().Before(until); left = look() {
		time.Sleep(10 * time.Millisecond)
	}
	for _, what := range left {
		t.Errorf("%s was left behind", what)
	}
}

// leftovers lists what a node still has of a lease.
func leftovers(t *testing.T, d *Driver, lease agent.LeaseID) []string {
	t.Helper()
	var left []string
	for _, path := range []string{string(d.folders.task(lease)), d.folders.run(lease)} {
		if _, err := os.Lstat(path); err == nil {
			left = append(left, path)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, string(d.folders.task(lease))+"/") {
			left = append(left, "the mount "+line)
		}
	}
	backing, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range backing {
		if file, err := os.ReadFile(path); err == nil && strings.HasPrefix(string(file), string(d.folders.task(lease))+"/") {
			left = append(left, "the loop device "+path)
		}
	}
	list, err := d.containers(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if c.Labels[labelLease] == string(lease) {
			left = append(left, "the container "+c.ID)
		}
	}
	return left
}

// remains lists what the engine's own parts still have of a container that it
// says is gone: shims, and the kernel's accounts.
func remains(t *testing.T, id string) []string {
	t.Helper()
	if id == "" {
		return nil
	}
	var left []string
	for _, pattern := range []string{"/sys/fs/cgroup/docker/", "/sys/fs/cgroup/*/docker/", "/sys/fs/cgroup/system.slice/docker-"} {
		groups, err := filepath.Glob(pattern + id + "*")
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, groups...)
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range processes {
		if command, err := os.ReadFile(path); err == nil && bytes.Contains(command, []byte(id)) {
			left = append(left, "the process "+string(bytes.ReplaceAll(command, []byte{0}, []byte{' '})))
		}
	}
	return left
}

// outcomeOf waits for a sandbox's end.
func outcomeOf(t *testing.T, sb *Sandbox) agent.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	o, err := sb.Wait(ctx)
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	return o
}

// run starts a task and waits for its end.
func run(t *testing.T, s Spec) (*Sandbox, agent.Outcome) {
	t.Helper()
	sb := start(t, s)
	return sb, outcomeOf(t, sb)
}

// logOf gives the log's lines without their stamps.
func logOf(t *testing.T, sb *Sandbox) []string {
	t.Helper()
	b, err := io.ReadAll(sb.LogReader(t.Context(), 0))
	if err != nil {
		t.Fatalf("read the log: %v", err)
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		lines = append(lines, rest)
	}
	return lines
}

// both runs a test in both tiers.
func both(t *testing.T, test func(t *testing.T, tier agent.Tier)) {
	t.Parallel()
	for _, tier := range []agent.Tier{agent.TierDocker, agent.TierGVisor} {
		t.Run(string(tier), func(t *testing.T) {
			t.Parallel()
			test(t, tier)
		})
	}
}

// shortDir is a folder whose path leaves room for sockets' names.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "sbx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "data")
}

// openOn opens a driver that is closed after the test.
func openOn(t *testing.T, cfg Config) *Driver {
	t.Helper()
	d, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}
