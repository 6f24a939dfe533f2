package audit_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/audit"
)

// recorded is what stands on record of some details.
func recorded(t *testing.T, d audit.Details) map[string]any {
	t.Helper()
	j := new(journal)
	l, _ := started(t, j)
	if _, err := l.Attempt(t.Context(), audit.Event{Action: agent.ActTaskRun, Details: d}); err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if text := j.events()[0].Details; text != nil {
		if err := json.Unmarshal(text, &out); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	}
	return out
}

func TestPlainFactsAreRecorded(t *testing.T) {
	t.Parallel()
	got := recorded(t, audit.Details{
		"state": agent.Suspended, "attempts": 2, "ratio": 0.5, "held": true, "at": time.Unix(0, 0).UTC(), "rules": []string{"a", "b"},
		"failure": "program/exit",
	})
	want := map[string]any{"state": "Suspended", "attempts": 2.0, "ratio": 0.5, "held": true, "at": "1970-01-01T00:00:00Z", "failure": "program/exit"}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
	if rules, ok := got["rules"].([]any); !ok || len(rules) != 2 {
		t.Errorf("rules are %v", got["rules"])
	}
}

func TestSecretsAreNotRecorded(t *testing.T) {
	t.Parallel()
	token := "symbi_" + strings.Repeat("Ab3_", 10)
	for name, d := range map[string]audit.Details{
		"a token by its name":      {"admin_token": "hunter2hunter2"},
		"a password by its name":   {"Password": "hunter2hunter2"},
		"a key by its name":        {"private_key": "hunter2hunter2"},
		"a header by its name":     {"Authorization": "hunter2hunter2"},
		"a token in a text":        {"reason": "curl with " + token + " failed"},
		"a bearer in a text":       {"cause": "sent Bearer hunter2hunter2"},
		"a web token in a text":    {"cause": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.hunter2hunter2"},
		"a secret in a structure":  {"request": map[string]any{"x": "hunter2hunter2"}},
		"a secret in bytes":        {"body": []byte("hunter2hunter2")},
		"a secret among texts":     {"args": []string{"--token", token}},
		"a secret in a name":       {token: 1},
		"more facts than there be": many(100, "hunter2hunter2"),
	} {
		text, err := json.Marshal(recorded(t, d))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "hunter2") || strings.Contains(string(text), "Ab3_Ab3_") || strings.Contains(string(text), "aHVudGVy") {
			t.Errorf("%s: %s", name, text)
		}
		if !strings.Contains(string(text), "[redacted]") && !strings.Contains(string(text), "[not recorded]") {
			t.Errorf("%s: nothing says that something is missing: %s", name, text)
		}
	}
}

func many(n int, value string) audit.Details {
	d := audit.Details{}
	for i := range n {
		d[strings.Repeat("x", i+1)] = value
	}
	return d
}

func TestWhatNoStoreTakesIsMadeWritable(t *testing.T) {
	t.Parallel()
	j := new(journal)
	l, _ := started(t, j)
	long := strings.Repeat("ä", 100_000)
	_, err := l.Attempt(t.Context(), audit.Event{
		Action: agent.ActTaskRun, Principal: agent.Principal(long), Resource: "a\x00b\xff", Request: long,
		Details: audit.Details{"cause": long, "odd": "\xff\x00", "nan": math.NaN()},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := j.events()[0]
	for _, text := range []string{string(e.Principal), e.Resource, e.Request, string(e.Details)} {
		if len(text) > 5000 || !utf8.ValidString(text) || strings.Contains(text, "\x00") {
			t.Errorf("%d bytes: %.40q", len(text), text)
		}
	}
	if !json.Valid(e.Details) {
		t.Errorf("details %s", e.Details)
	}
}
