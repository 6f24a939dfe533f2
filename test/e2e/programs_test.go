package e2e

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// programs are what people's code does, and what has to become of it.
var programs = []struct {
	name     string
	tier     string // docker where it matters that the host's kernel is the one
	language string
	code     string
	more     string
	state    string
	class    string
	code2    string
	says     string // part of the cause
	check    func(t *testing.T, d *dev, got task)
}{
	{
		name: "succeeds", language: "shell", tier: "docker",
		code:  "echo hello; echo '{\"answer\": 42}' > $SYMBI_RESULT; echo left > $SYMBI_OUTPUT/note.txt",
		state: "Succeeded",
		check: func(t *testing.T, d *dev, got task) {
			if !strings.Contains(string(got.Result), "42") || len(got.Artifacts) != 1 || got.Artifacts[0].Path != "note.txt" {
				t.Errorf("result %s, artifacts %+v", got.Result, got.Artifacts)
			}
			if len(got.Limits) != 5 {
				t.Errorf("limits: %+v, want the five of R3", got.Limits)
			}
		},
	},
	{
		name: "exits with 1", language: "shell", tier: "gvisor", code: "echo sorry >&2; exit 1",
		state: "Failed", class: "program", code2: "exit", says: "1",
	},
	{
		name: "command that is not there", language: "shell", tier: "gvisor", code: "exec /no/such/command",
		state: "Failed", class: "program", says: "127",
	},
	{
		name: "is killed by memory", language: "python", tier: "docker", code: "b = bytearray(1 << 30)\nprint(len(b))",
		state: "Failed", class: "resources", code2: "out-of-memory", says: "memory",
	},
	{
		name: "is killed by memory in gVisor", language: "python", tier: "gvisor",
		code:  "b = bytearray(1 << 30)\nfor i in range(0, len(b), 4096): b[i] = 1\nprint(len(b))",
		state: "Failed", class: "resources", code2: "out-of-memory", says: "memory",
	},
	{
		name: "forks without end", language: "shell", tier: "gvisor", code: "f() { f | f & }; f; wait",
		more:  "resources: {memory_mb: 256, cpu_cores: 0.5, execution_timeout: 5s}\n",
		state: "any",
	},
	{
		name: "fills its disk", language: "shell", tier: "docker", code: "head -c 1000000000 /dev/zero > $SYMBI_OUTPUT/big",
		state: "Failed", class: "program",
		check: func(t *testing.T, d *dev, got task) {
			if log := d.must("task", "logs", got.ID); !strings.Contains(log, "No space left") {
				t.Errorf("the log does not say why: %q", log)
			}
		},
	},
	{
		name: "makes a million files", language: "python", tier: "gvisor",
		code:  "import os\nd = os.environ['SYMBI_OUTPUT']\nfor i in range(1000000):\n    open(f'{d}/{i}', 'w').close()",
		state: "Failed",
	},
	{
		name: "leaves a FIFO and a link", language: "shell", tier: "docker",
		code:  "mkfifo $SYMBI_OUTPUT/pipe; ln -s /etc/passwd $SYMBI_OUTPUT/passwd; echo ok > $SYMBI_OUTPUT/ok.txt",
		state: "Succeeded",
		check: func(t *testing.T, d *dev, got task) {
			if len(got.Artifacts) != 1 || got.Artifacts[0].Path != "ok.txt" {
				t.Errorf("artifacts: %+v, want the plain file only", got.Artifacts)
			}
		},
	},
	{
		name: "prints 1 GB", language: "shell", tier: "docker", code: "echo first; yes 0123456789abcdef | head -c 1000000000; echo last",
		state: "Succeeded",
		check: func(t *testing.T, d *dev, got task) {
			log := d.must("task", "logs", got.ID)
			if !strings.HasPrefix(log, "first\n") || !strings.HasSuffix(log, "last\n") || got.Dropped == 0 {
				t.Errorf("begin %q, end %q, dropped %d", log[:20], log[len(log)-20:], got.Dropped)
			}
			if len(log) > 64<<20 {
				t.Errorf("%d bytes of log were kept", len(log))
			}
		},
	},
	{
		name: "prints invalid UTF-8", language: "shell", tier: "gvisor", code: `printf 'a\377b\n'`,
		state: "Succeeded",
		check: func(t *testing.T, d *dev, got task) {
			if log := d.must("task", "logs", got.ID); !strings.Contains(log, "a") || !strings.Contains(log, "b") {
				t.Errorf("log: %q", log)
			}
		},
	},
	{
		name: "writes a bad result", language: "shell", tier: "docker", code: "echo '{\"a\":' > $SYMBI_RESULT",
		state: "Failed", class: "program", code2: "bad-result", says: "JSON",
	},
	{
		name: "leaves children behind", language: "shell", tier: "docker", code: "sleep 1000 & echo started",
		state: "Succeeded",
	},
	{
		name: "takes longer than its timeout", language: "shell", tier: "docker", code: "echo begun; sleep 1000",
		more:  "resources: {memory_mb: 64, cpu_cores: 0.5, execution_timeout: 1s}\n",
		state: "Failed", class: "resources", code2: "timeout", says: "1s",
	},
	{
		name: "ignores SIGTERM", language: "shell", tier: "docker", code: "trap '' TERM; while :; do sleep 0.1; done",
		more:  "resources: {memory_mb: 64, cpu_cores: 0.5, execution_timeout: 1s}\n",
		state: "Failed", class: "resources", code2: "timeout",
	},
}

func TestPrograms(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			d := *d
			d.t = t
			name := agentNamed(t)
			got := d.runOnce(t, name, manifest(name, p.tier, p.language, p.code, p.more))
			if p.state != "any" && got.State != p.state {
				t.Fatalf("state %s, want %s; failure %+v; log %s", got.State, p.state, got.Failure, d.symbi("task", "logs", got.ID).out)
			}
			if p.class != "" && got.Failure.Class != p.class || p.code2 != "" && got.Failure.Code != p.code2 {
				t.Errorf("failure %+v, want class %s and code %s", got.Failure, p.class, p.code2)
			}
			if !strings.Contains(got.Failure.Cause, p.says) {
				t.Errorf("cause %q does not say %q", got.Failure.Cause, p.says)
			}
			if got.State == "Failed" && (got.Failure.NextStep == "" || got.Next == "") {
				t.Errorf("it does not say what to do next: %+v", got)
			}
			if p.check != nil {
				p.check(t, &d, got)
			}
			d.nothingLeft(got.ID)
		})
	}
}

// TestTheTourOfTheSandbox runs the example that uses all that a program finds:
// its second attempt goes on where the first gave up.
func TestTheTourOfTheSandbox(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	text := write(t, "text", "Goose Dove Goose")
	r := d.symbi("agent", "run", "-f", "../../examples/program/agent.yaml", "--input", "text="+text, "--wait", "-o", "json")
	var got task
	if err := json.Unmarshal([]byte(r.out), &got); r.code != 0 || err != nil {
		t.Fatalf("exit %d, %v\n%s%s", r.code, err, r.out, r.err)
	}
	want := `{"counted": {"Goose": 2, "Starling": 0, "Dove": 1}, "attempts": 2}`
	if got.Attempt != 2 || len(got.Artifacts) != 1 || got.Artifacts[0].Path != "counts/counts.json" || !sameJSON(t, string(got.Result), want) {
		t.Errorf("attempt %d, artifacts %+v, result %s", got.Attempt, got.Artifacts, got.Result)
	}
}

// sameJSON compares two documents whatever their spaces and the order of keys.
func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := errors.Join(json.Unmarshal([]byte(a), &x), json.Unmarshal([]byte(b), &y)); err != nil {
		t.Error(err)
	}
	return reflect.DeepEqual(x, y)
}
