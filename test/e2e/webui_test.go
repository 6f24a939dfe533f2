package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

// browser is a person who logged in by a one-time link.
type browser struct {
	t    *testing.T
	url  string
	http *http.Client
}

// logIn opens a link as a browser does.
func (d *dev) logIn(t *testing.T) *browser {
	t.Helper()
	var link struct{ URL string }
	status, p, body := d.rest(http.MethodPost, "/v1/login-links", nil, "")
	if status != http.StatusCreated {
		t.Fatalf("a login link: %d %+v", status, p)
	}
	if err := json.Unmarshal([]byte(body), &link); err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, url: d.url, http: &http.Client{Jar: jar}}
	if status, page := b.do(http.MethodGet, strings.TrimPrefix(link.URL, d.url), "", ""); status != http.StatusOK || !strings.Contains(page, "/temporal/") {
		t.Fatalf("the link: %d %s", status, page)
	}
	return b
}

// do makes a request; a page of origin makes it, when one is named.
func (b *browser) do(method, path, origin, body string) (int, string) {
	b.t.Helper()
	req, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

const uiAPI = "/temporal/api/v1/namespaces/symbi"

// workflow is a workflow as the Web UI lists it.
type workflow struct {
	Execution struct{ WorkflowID, RunID string }
	Type      struct{ Name string }
}

// find lists workflows as the Web UI's search does, until there is one.
func (b *browser) find(query string) workflow {
	b.t.Helper()
	deadline := time.Now().Add(upWait)
	for {
		var list struct{ Executions []workflow }
		status, body := b.do(http.MethodGet, uiAPI+"/workflows?query="+url.QueryEscape(query), "", "")
		if status != http.StatusOK {
			b.t.Fatalf("search %s: %d %s", query, status, body)
		}
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			b.t.Fatal(err)
		}
		if len(list.Executions) == 1 {
			return list.Executions[0]
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s finds %d workflows, want 1", query, len(list.Executions))
		}
		<-time.After(pollTime)
	}
}

// TestTheTemporalWebUIFindsAndSteers does what a person does there: finds
// agents and tasks, reads them, and suspends one by a signal sent by hand.
func TestTheTemporalWebUIFindsAndSteers(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	d.create(t, "seen", manifest("seen", "docker", "shell", counting(600), "scheduling: {priority: high}\n"))
	id := d.submit("seen")
	d.await(id, "running", func(got task) bool { return got.State == "Running" })
	b := d.logIn(t)
	if status, page := b.do(http.MethodGet, "/temporal/", "", ""); status != http.StatusOK || !strings.Contains(page, "<html") {
		t.Errorf("the page: %d %.200s", status, page)
	}
	who := "SymbiAgent = 'seen' AND SymbiNamespace = 'default' AND SymbiOwner = 'admin' AND SymbiPriority = 'high'"
	agent := b.find(who + " AND WorkflowType = 'symbi.agent' AND SymbiState = 'Running'")
	of := b.find(who + " AND WorkflowType = 'symbi.task' AND SymbiState = 'Running' AND SymbiTier = 'docker'")
	if agent.Execution.WorkflowID != "agent.default.seen.1" || !strings.Contains(of.Execution.WorkflowID, id) {
		t.Errorf("found %s and %s", agent.Execution.WorkflowID, of.Execution.WorkflowID)
	}

	path := uiAPI + "/workflows/" + url.PathEscape(agent.Execution.WorkflowID)
	if status, body := b.do(http.MethodGet, path, "", ""); status != http.StatusOK ||
		!strings.Contains(body, "memo") || !strings.Contains(body, "userMetadata") && !strings.Contains(body, "summary") {
		t.Errorf("its description: %d %s", status, body)
	}
	if opened := b.open(b.query(path, agent)); !strings.Contains(opened, `"state":"Running"`) {
		t.Errorf("its status query says %s", opened)
	}

	signal := func(name, origin string) (int, string) {
		return b.do(http.MethodPost, path+"/signal/"+name, origin, fmt.Sprintf(
			`{"signalName":%q,"workflowExecution":{"workflowId":%q}}`, name, agent.Execution.WorkflowID))
	}
	if status, _ := signal("suspend", "http://elsewhere.example"); status != http.StatusForbidden {
		t.Errorf("a signal from another site: %d, want 403", status)
	}
	if status, body := signal("suspend", d.url); status != http.StatusOK {
		t.Fatalf("suspend by hand: %d %s", status, body)
	}
	d.await(id, "suspended", func(got task) bool { return got.State == "Suspended" })
	if history := d.must("agent", "history", "seen"); !strings.Contains(history, "temporal-ui") {
		t.Errorf("its history does not say who did it:\n%s", history)
	}
	if status, body := signal("resume", d.url); status != http.StatusOK {
		t.Fatalf("resume by hand: %d %s", status, body)
	}
	d.await(id, "running again", func(got task) bool { return got.State == "Running" })
	d.must("agent", "terminate", "seen")
	d.awaitEnd(id)
}

// query asks a workflow for its status as the Web UI does, and gives the answer's payload.
func (b *browser) query(path string, w workflow) string {
	b.t.Helper()
	status, body := b.do(http.MethodPost, path+"/query/status", b.url, fmt.Sprintf(
		`{"execution":{"workflowId":%q,"runId":%q},"query":{"queryType":"status"}}`, w.Execution.WorkflowID, w.Execution.RunID))
	var answer struct {
		QueryResult struct{ Payloads []json.RawMessage }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.QueryResult.Payloads) != 1 {
		b.t.Fatalf("query: %d %s", status, body)
	}
	return string(answer.QueryResult.Payloads[0])
}

// open has the codec endpoint decrypt a payload, as the Web UI does.
func (b *browser) open(payload string) string {
	b.t.Helper()
	if strings.Contains(payload, "Running") {
		b.t.Error("the payload is not encrypted")
	}
	status, body := b.do(http.MethodPost, "/temporal-codec/decode", b.url, `{"payloads":[`+payload+`]}`)
	var answer struct{ Payloads []struct{ Data []byte } }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Payloads) != 1 {
		b.t.Fatalf("decode: %d %s", status, body)
	}
	return string(answer.Payloads[0].Data)
}
