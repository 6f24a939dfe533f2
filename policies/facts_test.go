package policies_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/policies"
)

// patience is a deadline that no pause of a busy machine reaches.
const patience = time.Minute

func TestQuestionsWrittenFromTheFactsSatisfyTheirSchemas(t *testing.T) {
	t.Parallel()
	for action, facts := range policies.Facts() {
		schema := compiled(t, action)
		q := map[string]any{
			"principal": policies.Principal{ID: "node:a", Kind: "node"}, "action": action,
			"resource": facts, "context": policies.Context{Request: "r"},
		}
		if err := schema.Validate(plain(t, q)); err != nil {
			t.Errorf("%s: %v", action, err)
		}
		q["resource"] = map[string]any{"nmae": "a"}
		if schema.Validate(plain(t, q)) == nil {
			t.Errorf("%s: a field that no question has passes", action)
		}
	}
}

func TestAFullManifestSatisfiesTheSchemaOfItsCreation(t *testing.T) {
	t.Parallel()
	m := agent.Manifest{
		APIVersion: agent.APIVersion, Kind: agent.Kind, Name: "a", Namespace: "default",
		Program: agent.Program{
			Script:    &agent.Script{Language: agent.Python, Code: "print(1)"},
			StopGrace: agent.Duration(time.Second), Env: map[string]string{"LANG": "C.UTF-8"},
		},
		Params:    map[string]json.RawMessage{"top": json.RawMessage(`{"type":"integer","default":20}`)},
		Inputs:    map[string]agent.Input{"reports": {Sensitivity: agent.Public, MaxMB: 50}},
		Resources: agent.Resources{MemoryMB: 512, CPUCores: 0.5, ExecutionTimeout: agent.Duration(time.Minute)},
		Tasks:     agent.Tasks{Retry: agent.Retry{MaxAttempts: 3, On: agent.FailureClasses}},
	}
	q := map[string]any{
		"principal": policies.Principal{ID: "admin", Kind: "admin"}, "action": agent.ActAgentCreate, "context": policies.Context{},
		"resource": policies.ManifestFacts{Thing: policies.Thing{Namespace: "default", Name: "a"}, Manifest: m},
	}
	if err := compiled(t, agent.ActAgentCreate).Validate(plain(t, q)); err != nil {
		t.Error(err)
	}
}

func compiled(t *testing.T, action agent.Action) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	if err := c.AddResource("q.json", policies.Schemas()[action]); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("q.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// plain gives a value as JSON would carry it.
func plain(t *testing.T, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return out
}
