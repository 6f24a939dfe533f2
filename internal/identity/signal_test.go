package identity_test

import (
	"encoding/json"
	"testing"
	"time"

	"symbi.dev/symbi/internal/identity"
)

func TestASignatureCoversEveryFieldOfACommand(t *testing.T) {
	t.Parallel()
	s := identity.NewSignalSigner(master(t, 1))
	signed := identity.Command{
		WorkflowID: "agent.default.a.1", Signal: "suspend", Principal: "admin", Request: "r", Reason: "because", At: time.Now(),
	}
	signature := s.Sign(signed)
	if !s.Verify(signed, signature) || !identity.NewSignalSigner(master(t, 1)).Verify(signed, signature) {
		t.Fatal("its own signature does not verify")
	}
	for name, change := range map[string]func(*identity.Command){
		"another workflow":           func(c *identity.Command) { c.WorkflowID = "agent.default.b.1" },
		"another signal":             func(c *identity.Command) { c.Signal = "terminate" },
		"another principal":          func(c *identity.Command) { c.Principal = "runtime" },
		"another request":            func(c *identity.Command) { c.Request = "" },
		"another reason":             func(c *identity.Command) { c.Reason = "" },
		"another time":               func(c *identity.Command) { c.At = c.At.Add(time.Microsecond) },
		"a letter in the next field": func(c *identity.Command) { c.WorkflowID, c.Signal = c.WorkflowID+"s", "uspend" },
	} {
		c := signed
		change(&c)
		if s.Verify(c, signature) {
			t.Errorf("%s: the signature still verifies", name)
		}
	}
	if identity.NewSignalSigner(master(t, 2)).Verify(signed, signature) {
		t.Error("another installation's key verifies it")
	}
	for _, wrong := range [][]byte{nil, {}, signature[:31], append(signature[:31:31], signature[31]^1)} {
		if s.Verify(signed, wrong) {
			t.Errorf("%x verifies", wrong)
		}
	}
}

// A command travels as JSON, and its time comes back in UTC.
func TestASignatureHoldsForATimeThatTravelled(t *testing.T) {
	t.Parallel()
	s := identity.NewSignalSigner(master(t, 1))
	for _, at := range []time.Time{time.Now(), {}, time.Date(2026, 11, 23, 1, 2, 3, 456789123, time.FixedZone("x", 3600))} {
		signature := s.Sign(identity.Command{At: at})
		text, err := json.Marshal(at)
		var back time.Time
		if err == nil {
			err = json.Unmarshal(text, &back)
		}
		if err != nil || !s.Verify(identity.Command{At: back}, signature) {
			t.Errorf("%s: %v", at, err)
		}
	}
}
