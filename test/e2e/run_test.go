package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunNeedsNoManifest(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	script := write(t, "Say Hello.py", "import os\nprint('hello', open(os.environ['SYMBI_INPUT'] + '/who').read())\nopen(os.environ['SYMBI_OUTPUT'] + '/left.txt', 'w').write('left')\n")
	who := write(t, "who.txt", "world")
	out := t.TempDir()
	r := d.symbi("run", script, "--input", "who="+who, "--output", out)
	if r.code != 0 || r.out != "hello world\n" {
		t.Errorf("exit %d, out %q, err %s", r.code, r.out, r.err)
	}
	if b, err := os.ReadFile(filepath.Join(out, "left.txt")); err != nil || string(b) != "left" {
		t.Errorf("the artifact: %q, %v", b, err)
	}
	dry := d.must("run", script, "--input", "who="+who, "--dry-run", "-o", "yaml")
	if !strings.Contains(dry, "name: say-hello") || !strings.Contains(dry, "language: python") {
		t.Errorf("the manifest it makes:\n%s", dry)
	}
}

func TestRunTellsHowItEndedByItsExitCode(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	for name, c := range map[string]struct {
		code int
		text string
		args []string
	}{
		"fails":     {1, "exit 3", nil},
		"times-out": {124, "sleep 1000", []string{"--timeout", "1s"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := *d
			d.t = t
			r := d.symbi(append([]string{"run", write(t, name+".sh", c.text)}, c.args...)...)
			if r.code != c.code || !strings.Contains(r.err, "failed") {
				t.Errorf("exit %d, %s", r.code, r.err)
			}
		})
	}
	if r := d.symbi("run", write(t, "x.py", "1"), "--memory", "1"); r.code != 2 || !strings.Contains(r.err, "resources.memory_mb") {
		t.Errorf("bad limit: exit %d, %s", r.code, r.err)
	}
	if r := d.symbi("task", "get", "absent"); r.code != 4 {
		t.Errorf("absent task: exit %d, %s", r.code, r.err)
	}
	if r := d.symbi("status", "--server", "http://127.0.0.1:1"); r.code != 5 || !strings.Contains(r.err, "symbi dev") {
		t.Errorf("no server: exit %d, %s", r.code, r.err)
	}
	if r := d.symbi("agent", "create", "-f", write(t, "bad.yaml", "apiVersion: symbi/v1\nkind: Agent\nname: x\ncolour: red\n")); r.code != 2 || !strings.Contains(r.err, "bad.yaml:4:1: colour") {
		t.Errorf("bad manifest: exit %d, %s", r.code, r.err)
	}
}

func TestApplyCreatesThenUpdatesThenLeavesAlone(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	text := shell("applied", "docker", "true\n")
	file := write(t, "agent.yaml", text)
	for _, want := range []string{"created", "unchanged"} {
		if out := d.must("apply", "-f", file); !strings.Contains(out, want) {
			t.Errorf("apply said %q, want %s", out, want)
		}
	}
	if out := d.must("apply", "-f", write(t, "agent.yaml", text+"labels: {a: b}\n")); !strings.Contains(out, "updated") {
		t.Errorf("apply said %q, want updated", out)
	}
	if out := d.must("agent", "get", "applied"); !strings.Contains(out, "version 2") {
		t.Errorf("agent get:\n%s", out)
	}
}

func TestAFalseClaimOfTrustIsScoredUntrusted(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	text := strings.Replace(shell("liar", "docker", "echo hi\n"), "true\n", "true\n", 1)
	lie := strings.Replace(text, "sha256:", "sha256:0000", 1)
	i := strings.Index(lie, "sha256:0000")
	lie = lie[:i+71] + lie[i+75:] // as long as a digest is
	got := d.runOnce(t, "liar", lie)
	if got.Tier != "gvisor" || got.Risk.Factors[0].Value != "untrusted" || !strings.Contains(got.Risk.Factors[0].Note, "untrusted") {
		t.Errorf("tier %s, risk %+v", got.Tier, got.Risk)
	}
}

func TestATaskThatNoNodeCouldHoldSaysSo(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	got := d.runOnce(t, "huge", manifest("huge", "docker", "shell", "true\n", "resources: {memory_mb: 1000000, cpu_cores: 0.1, execution_timeout: 1m}\n"))
	if got.State != "Failed" || got.Failure.Code != "no-capacity" || !strings.Contains(got.Failure.Cause, "1000000 MB") {
		t.Errorf("%s %+v", got.State, got.Failure)
	}
	if out := d.must("status"); !strings.Contains(out, "no-capacity") {
		t.Errorf("it does not stand among the recent errors:\n%s", out)
	}
}

// TestAgentRunFollows stays with the task when it is told to, and leaves when not.
func TestAgentRunFollows(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	file := write(t, "agent.yaml", shell("followed-run", "docker", "echo one; sleep 1; echo two; exit 3\n"))
	if r := d.symbi("agent", "run", "-f", file); r.code != 0 || !strings.Contains(r.out, "task ") {
		t.Errorf("without any: exit %d\n%s%s", r.code, r.out, r.err)
	}
	if r := d.symbi("agent", "run", "-f", file, "--follow"); r.code == 0 || r.out != "one\ntwo\n" {
		t.Errorf("--follow: exit %d, prints %q\n%s", r.code, r.out, r.err)
	}
	if r := d.symbi("agent", "run", "-f", file, "--wait", "--rm"); r.code == 0 || strings.Contains(r.out, "one") {
		t.Errorf("--wait: exit %d, prints %q\n%s", r.code, r.out, r.err)
	}
	if r := d.symbi("agent", "run", "-f", file, "--wait", "--follow"); r.code != 2 {
		t.Errorf("both: exit %d", r.code)
	}
	d.awaitAgent("followed-run", "Terminated") // --rm
	if r := d.symbi("agent", "run", "-f", file, "--rm"); r.code != 2 || !strings.Contains(r.err, "--wait") {
		t.Errorf("--rm alone: exit %d\n%s", r.code, r.err)
	}
}
