package e2e

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const agents = "/v1/namespaces/default/agents"

var yaml = map[string]string{"Content-Type": "application/yaml"}

// TestBadManifests sends what people get wrong; nothing of it may start.
func TestBadManifests(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	good := shell("good", "docker", "true\n")
	for _, c := range []struct {
		name, text, path, says string
	}{
		{"unknown key", good + "colour: red\n", "colour", "unknown"},
		{"slash in the name", strings.Replace(good, "name: good", "name: a/b", 1), "name", "a-z"},
		{"dots in the name", strings.Replace(good, "name: good", "name: a..b", 1), "name", "a-z"},
		{"emoji in the name", strings.Replace(good, "name: good", "name: \"🐦\"", 1), "name", "a-z"},
		{"300 characters of name", strings.Replace(good, "name: good", "name: "+strings.Repeat("x", 300), 1), "name", "63"},
		{"zero memory", strings.Replace(good, "memory_mb: 128", "memory_mb: 0", 1), "resources.memory_mb", ""},
		{"negative memory", strings.Replace(good, "memory_mb: 128", "memory_mb: -5", 1), "resources.memory_mb", ""},
		{"no unit", strings.Replace(good, "execution_timeout: 2m", "execution_timeout: 120", 1), "resources.execution_timeout", "unit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := *d
			d.t = t
			status, p, _ := d.rest(http.MethodPost, agents, yaml, c.text)
			if status != http.StatusBadRequest || !p.says(c.path, c.says) {
				t.Errorf("status %d, %+v; want 400 with %s saying %q", status, p, c.path, c.says)
			}
		})
	}
	t.Run("10 MB", func(t *testing.T) {
		t.Parallel()
		d := *d
		d.t = t
		if status, p, _ := d.rest(http.MethodPost, agents, yaml, good+strings.Repeat("# x\n", 5<<19)); status != http.StatusBadRequest {
			t.Errorf("status %d, %+v", status, p)
		}
	})
	t.Run("a YAML bomb", func(t *testing.T) {
		t.Parallel()
		d := *d
		d.t = t
		bomb := "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b]\n"
		if status, p, _ := d.rest(http.MethodPost, agents, yaml, good+bomb); status != http.StatusBadRequest {
			t.Errorf("status %d, %+v", status, p)
		}
	})
}

func TestTwoCreationsWithOneName(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	text := shell("twice", "docker", "true\n")
	if status, p, _ := d.rest(http.MethodPost, agents, yaml, text); status != http.StatusCreated {
		t.Fatalf("first: %d %+v", status, p)
	}
	if status, p, _ := d.rest(http.MethodPost, agents, yaml, text); status != http.StatusConflict || !strings.Contains(p.Detail, "twice") {
		t.Errorf("second: %d %+v, want 409 naming the agent", status, p)
	}
}

func TestIdempotencyKeyWithAnotherBody(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	header := map[string]string{"Content-Type": "application/yaml", "Idempotency-Key": "k-1"}
	one := shell("idempotent", "docker", "true\n")
	if status, p, _ := d.rest(http.MethodPost, agents, header, one); status != http.StatusCreated {
		t.Fatalf("first: %d %+v", status, p)
	}
	if status, p, _ := d.rest(http.MethodPost, agents, header, one); status != http.StatusOK {
		t.Errorf("repeat: %d %+v, want 200", status, p)
	}
	if status, p, _ := d.rest(http.MethodPost, agents, header, one+"labels: {a: b}\n"); status != http.StatusConflict {
		t.Errorf("another body: %d %+v, want 409", status, p)
	}
}

func TestTasksForAgentsThatTakeNone(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	submit := func(name string) (int, problem) {
		status, p, _ := d.rest(http.MethodPost, agents+"/"+name+"/tasks", map[string]string{"Content-Type": "application/json"}, "{}")
		return status, p
	}
	if status, _ := submit("absent-agent"); status != http.StatusNotFound {
		t.Errorf("absent: %d, want 404", status)
	}
	d.create(t, "short-lived", shell("short-lived", "docker", "true\n"))
	d.must("agent", "terminate", "short-lived")
	d.awaitAgent("short-lived", "Terminated")
	if status, p := submit("short-lived"); status != http.StatusConflict || !strings.Contains(p.Detail, "Terminated") {
		t.Errorf("terminated: %d %+v, want 409", status, p)
	}
	broken := "apiVersion: symbi/v1\nkind: Agent\nname: broken\nprogram: {script: {language: shell, file: gone.sh}}\n"
	if status, p, _ := d.rest(http.MethodPost, agents, yaml, broken); status != http.StatusCreated {
		t.Fatalf("create: %d %+v", status, p)
	}
	d.awaitAgent("broken", "Failed")
	if status, p := submit("broken"); status != http.StatusConflict || !strings.Contains(p.Detail, "gone.sh") {
		t.Errorf("failed: %d %+v, want 409 with the reason", status, p)
	}
}

func TestAnImageThatIsNowhereFailsTheAgent(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	text := "apiVersion: symbi/v1\nkind: Agent\nname: imageless\nprogram: {container: {image: \"symbi/no-such:1\", pull: never}}\n"
	d.must("agent", "create", "-f", write(t, "a.yaml", text))
	d.awaitAgent("imageless", "Failed")
	if out := d.must("agent", "get", "imageless"); !strings.Contains(out, "symbi/no-such:1") {
		t.Errorf("it does not name the image:\n%s", out)
	}
}

func TestSuspendTwiceAndResumeWithoutSuspendChangeNothing(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	d.create(t, "patient", shell("patient", "docker", "true\n"))
	for _, verb := range []string{"resume", "suspend", "suspend", "resume", "resume"} {
		if status, p, _ := d.rest(http.MethodPost, agents+"/patient/"+verb, nil, ""); status != http.StatusOK {
			t.Errorf("%s: %d %+v", verb, status, p)
		}
	}
	var history struct{ Items []any }
	if err := d.get(agents+"/patient/history", &history); err != nil || len(history.Items) != 1 {
		t.Errorf("history has %d steps (%v), want only Initializing -> Ready", len(history.Items), err)
	}
}

func TestBlobs(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	sum := sha256.Sum256([]byte("content"))
	digest := "sha256:" + hex.EncodeToString(sum[:])
	if status, p, _ := d.rest(http.MethodPut, "/v1/blobs/"+digest, nil, "other"); status != http.StatusBadRequest {
		t.Errorf("a digest that does not match: %d %+v, want 400", status, p)
	}
	d.create(t, "reader", manifest("reader", "docker", "shell", "cat $SYMBI_INPUT/text\n", "inputs: {text: {sensitivity: public}}\n"))
	body := fmt.Sprintf(`{"inputs":{"text":{"digest":%q}}}`, digest)
	header := map[string]string{"Content-Type": "application/json"}
	status, p, _ := d.rest(http.MethodPost, agents+"/reader/tasks", header, body)
	if status != http.StatusBadRequest || !p.says("inputs.text.digest", "upload") {
		t.Errorf("a blob that is absent: %d %+v, want 400 naming it", status, p)
	}
	if status, p, _ := d.rest(http.MethodPut, "/v1/blobs/"+digest, nil, "content"); status != http.StatusCreated {
		t.Fatalf("upload: %d %+v", status, p)
	}
	if status, p, _ := d.rest(http.MethodPost, agents+"/reader/tasks", header, body); status != http.StatusCreated {
		t.Errorf("once it is there: %d %+v", status, p)
	}
}

func TestNobodyGetsInWithoutTheToken(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	for _, path := range []string{"/v1/agents", "/v1/status", "/metrics", "/temporal/", "/temporal/api/v1/namespaces"} {
		resp, err := http.Get(d.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("GET %s without a token: %s", path, resp.Status)
		}
	}
	if status, _, _ := d.rest(http.MethodGet, "/healthz", nil, ""); status != http.StatusOK {
		t.Errorf("/healthz: %d", status)
	}
}

// TestAFollowerThatHangsUp leaves in the middle of a log; the task, and whoever
// else follows, notice nothing.
func TestAFollowerThatHangsUp(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	const to = 40
	d.create(t, "followed", shell("followed", "docker", counting(to)))
	id := d.submit("followed")
	for range 5 {
		resp, err := d.request(http.MethodGet, "/v1/namespaces/default/tasks/"+id+"/logs?follow=true",
			map[string]string{"Accept": "text/event-stream"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(resp.Body).ReadString('\n')
		if err != nil || line == "" {
			t.Errorf("the stream: %q, %v", line, err)
		}
		resp.Body.Close()
	}
	wholeCount(t, d.must("task", "logs", "-f", id), to)
	if got := d.awaitEnd(id); got.State != "Succeeded" {
		t.Errorf("%s %+v", got.State, got.Failure)
	}
}

// TestArtifactsThatWouldEscape asks for what lies outside, in every spelling.
func TestArtifactsThatWouldEscape(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	d.create(t, "escaping", shell("escaping", "docker",
		"echo fine > $SYMBI_OUTPUT/fine.txt; ln -s /etc/passwd $SYMBI_OUTPUT/passwd; ln -s / $SYMBI_OUTPUT/root\n"))
	id := d.submit("escaping")
	got := d.awaitEnd(id)
	if got.State != "Succeeded" || len(got.Artifacts) != 1 || got.Artifacts[0].Path != "fine.txt" {
		t.Errorf("%s with %+v, want fine.txt alone", got.State, got.Artifacts)
	}
	base := "/v1/namespaces/default/tasks/" + id + "/artifacts/"
	if status, _, body := d.rest(http.MethodGet, base+"fine.txt", nil, ""); status != http.StatusOK || body != "fine\n" {
		t.Errorf("fine.txt: %d %q", status, body)
	}
	for _, path := range []string{"passwd", "root/etc/passwd", "../fine.txt", "..%2f..%2f..%2fadmin.token", "%2e%2e/%2e%2e/admin.token",
		"/etc/passwd", "fine.txt%00", "./../../x"} {
		if status, _, body := d.raw(base + path); status == http.StatusOK || strings.Contains(body, "root:") {
			t.Errorf("%s: %d %.80q", path, status, body)
		}
	}
}
