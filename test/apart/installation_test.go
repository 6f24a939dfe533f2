//go:build dev

// Package apart runs a server and workers as processes of their own, against
// a Temporal server, a PostgreSQL and a NATS that are not theirs.
package apart

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/client"
	"symbi.dev/symbi/internal/store/storetest/pgtest"
	"symbi.dev/symbi/internal/temporaldev"
)

// binary is what `make build` makes.
var binary = func() string {
	path, err := filepath.Abs("../../bin/symbi")
	if err != nil {
		panic(err)
	}
	return path
}()

// wait bounds everything; it is for a machine that is busy.
const (
	wait  = 90 * time.Second
	often = 50 * time.Millisecond
)

// installation is the engines of an operator, and what runs on them.
type installation struct {
	t       *testing.T
	dir     string
	address string
	env     []string
	conn    *client.Conn
	workers map[string]*process
}

// newInstallation starts the engines.
func newInstallation(t *testing.T) *installation {
	t.Helper()
	in := &installation{t: t, dir: t.TempDir(), address: freeAddress(t), workers: map[string]*process{}}
	const temporalToken, adminToken = "the token of this test's Temporal", "symbi_the-token-of-this-test-and-no-other-x"
	temporal, err := temporaldev.Start(t.Context(), temporaldev.Config{Dir: filepath.Join(in.dir, "temporal"), Token: temporalToken})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(temporal.Stop)
	nats, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	nats.Start()
	t.Cleanup(nats.Shutdown)
	if !nats.ReadyForConnections(wait) {
		t.Fatal("NATS does not come up")
	}
	in.env = []string{
		"HOME=" + in.dir, "PATH=" + os.Getenv("PATH"),
		"SYMBI_TEMPORAL_ADDRESS=" + temporal.FrontendAddress(),
		"SYMBI_TEMPORAL_TOKEN_FILE=" + in.secret("temporal.token", temporalToken),
		"SYMBI_DATABASE_URL=" + pgtest.Database(t),
		"SYMBI_NATS_URL=" + nats.ClientURL(),
		"SYMBI_BLOB_URL=file://" + filepath.Join(in.dir, "blobs") + "?create_dir=true&metadata=skip",
		"SYMBI_MASTER_KEY_FILE=" + in.secret("master.key", base64.StdEncoding.EncodeToString(make32("a key"))),
		"SYMBI_ADMIN_TOKEN_FILE=" + in.secret("admin.token", adminToken),
	}
	if in.conn, err = client.New(client.Config{Server: "http://" + in.address, Token: adminToken}); err != nil {
		t.Fatal(err)
	}
	return in
}

// secret keeps a secret in a file.
func (in *installation) secret(name, value string) string {
	in.t.Helper()
	path := filepath.Join(in.dir, name)
	if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
		in.t.Fatal(err)
	}
	return path
}

func make32(from string) []byte {
	sum := sha256.Sum256([]byte(from))
	return sum[:]
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// process is a server or a worker.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// start starts one; it is stopped when the test is over.
func (in *installation) start(args ...string) *process {
	in.t.Helper()
	p := &process{cmd: exec.Command(binary, args...), ended: make(chan struct{})}
	p.cmd.Env = in.env
	if args[0] == "worker" {
		node := args[2]
		p.cmd.Env = append(p.cmd.Env, "SYMBI_DATA_DIR="+filepath.Join(in.dir, "node-"+node))
		in.workers[node] = p
	}
	p.cmd.Stdout, p.cmd.Stderr = in.t.Output(), in.t.Output()
	if err := p.cmd.Start(); err != nil {
		in.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in what it printed
		close(p.ended)
	}()
	in.t.Cleanup(func() { p.end(os.Interrupt) })
	return p
}

// kill ends a process as a power cut does.
func (p *process) kill() { p.end(os.Kill) }

func (p *process) end(sig os.Signal) {
	_ = p.cmd.Process.Signal(sig) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(wait):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// until asks again and again until the answer is yes.
func (in *installation) until(what string, ok func() bool) {
	in.t.Helper()
	deadline := time.Now().Add(wait)
	for !ok() {
		if time.Now().After(deadline) {
			in.t.Fatalf("%s: not within %s", what, wait)
		}
		<-time.After(often)
	}
}

func (in *installation) awaitReady() {
	in.t.Helper()
	in.until("the server is ready", func() bool {
		c, err := net.Dial("tcp", in.address) // the client would wait longer between two tries
		return err == nil && c.Close() == nil && in.conn.Ready(in.t.Context()) == nil
	})
}

func (in *installation) awaitNodes(n int) {
	in.t.Helper()
	in.until(fmt.Sprintf("%d nodes report", n), func() bool {
		nodes, err := in.conn.Nodes(in.t.Context())
		return err == nil && len(nodes.Items) == n
	})
}

// create makes an agent of a shell script.
func (in *installation) create(name, tier, code, more string) {
	in.t.Helper()
	manifest := fmt.Sprintf("apiVersion: symbi/v1\nkind: Agent\nname: %s\nprogram:\n  script: {language: shell, code: %q}\n"+
		"sandbox: {min_tier: %s}\nsource: {trust: verified, digest: \"sha256:%x\"}\n"+
		"network: {connections: 0}\nexternal_apis: []\nfilesystem: {scratch_mb: 16}\nresources: {memory_mb: 64, cpu_cores: 0.2}\n%s",
		name, code, tier, sha256.Sum256([]byte(code)), more)
	if _, err := in.conn.CreateAgent(in.t.Context(), agent.DefaultNamespace, []byte(manifest), false); err != nil {
		in.t.Fatal(err)
	}
}

func (in *installation) submit(name agent.Name) agent.TaskID {
	in.t.Helper()
	task, err := in.conn.Submit(in.t.Context(), agent.Ref{Namespace: agent.DefaultNamespace, Name: name}, client.TaskRequest{}, false)
	if err != nil {
		in.t.Fatal(err)
	}
	return agent.TaskID(task.Id)
}

// await waits until a task is as wanted.
func (in *installation) await(id agent.TaskID, what string, ok func(client.Task) bool) client.Task {
	in.t.Helper()
	var got client.Task
	in.until(fmt.Sprintf("task %s is %s", id, what), func() bool {
		var err error
		got, err = in.conn.Task(in.t.Context(), agent.DefaultNamespace, id)
		if err != nil {
			in.t.Fatal(err)
		}
		if got.State.Final() && !ok(got) {
			in.t.Fatalf("task %s is %s (%s), not %s", id, got.State, strings.TrimSpace(got.Why), what)
		}
		return ok(got)
	})
	return got
}
