//go:build dev

package apart

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/client"
	"symbi.dev/symbi/internal/store/storetest/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestAServerAndWorkersApart runs agents on two nodes behind one server, and
// lets the server and a worker die on the way.
func TestAServerAndWorkersApart(t *testing.T) {
	t.Parallel()
	in := newInstallation(t)
	server := in.start("server", "--listen", in.address)
	in.awaitReady()
	for _, node := range []string{"a", "b"} {
		in.start("worker", "--node", node)
	}
	in.awaitNodes(2)

	in.create("counter", "docker", counting(60), "tasks: {max_concurrent: 4}\n")
	var ids []agent.TaskID
	for range 4 {
		ids = append(ids, in.submit("counter"))
	}
	on := map[string]agent.TaskID{}
	for _, id := range ids {
		got := in.await(id, "running", func(got client.Task) bool { return got.State == agent.TaskRunning })
		on[got.Node] = id
	}
	if len(on) != 2 {
		t.Errorf("four tasks run on nodes %v, want a and b", on)
	}

	server.kill()
	in.start("server", "--listen", in.address)
	in.awaitReady()
	in.workers["a"].kill()
	in.start("worker", "--node", "a")

	for _, id := range ids {
		got := in.await(id, "over", func(got client.Task) bool { return got.State.Final() })
		if got.State != agent.TaskSucceeded {
			t.Errorf("task %s on %s: %s, %s", id, got.Node, got.State, got.Why)
		}
		var log strings.Builder
		if err := in.conn.Log(t.Context(), agent.DefaultNamespace, id, &log); err != nil {
			t.Error(err)
		}
		if lines := strings.Fields(log.String()); len(lines) != 60 || lines[0] != "1" || lines[59] != "60" {
			t.Errorf("the log of task %s has %d lines", id, len(lines))
		}
		if left := containersOf(t, id); left != "" {
			t.Errorf("task %s left %s", id, left)
		}
	}
}

// TestWhatAProcessLacksIsNamed starts a server and a worker that were told nothing.
func TestWhatAProcessLacksIsNamed(t *testing.T) {
	t.Parallel()
	for args, wants := range map[string][]string{
		"server": {"server.token_file", "SYMBI_ADMIN_TOKEN_FILE"},
		"worker": {"database.url", "SYMBI_DATABASE_URL"},
	} {
		cmd := exec.CommandContext(t.Context(), binary, args)
		cmd.Env = []string{"HOME=" + t.TempDir(), "SYMBI_DATA_DIR=" + t.TempDir()}
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("symbi %s runs", args)
		}
		for _, want := range wants {
			if !strings.Contains(string(out), want) {
				t.Errorf("symbi %s does not name %s: %s", args, want, out)
			}
		}
	}
}

// counting is a program that counts, a line a tenth of a second.
func counting(to int) string {
	return fmt.Sprintf("i=0; while [ $i -lt %d ]; do i=$((i+1)); echo $i; sleep 0.1; done\n", to)
}

// containersOf lists the containers of a task.
func containersOf(t *testing.T, id agent.TaskID) string {
	t.Helper()
	out, err := exec.Command("docker", "ps", "-aq", "--filter", "label=dev.symbi.task=default/"+string(id)).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
