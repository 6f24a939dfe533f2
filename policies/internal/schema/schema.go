// Package schema makes the JSON Schemas of policy questions from the Go types
// in policies/facts.go. Objects are closed, because a field that no question
// has is a rule's mistake, and everything is spelt out in place, because OPA
// reads each file by itself.
package schema

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/policies"
)

// All gives each action's schema, as its file holds it.
func All() (map[agent.Action][]byte, error) {
	out := map[agent.Action][]byte{}
	for action, facts := range policies.Facts() {
		b, err := json.MarshalIndent(question(action, facts), "", "  ")
		if err != nil {
			return nil, fmt.Errorf("write the schema of %s: %w", action, err)
		}
		out[action] = append(b, '\n')
	}
	return out, nil
}

// question is the schema of what is asked about an action.
func question(action agent.Action, facts any) map[string]any {
	return map[string]any{
		"$schema":              "http://json-schema.org/draft-07/schema#",
		"title":                "The question whether " + string(action) + " may be done",
		"type":                 "object",
		"additionalProperties": false,
		"required":             []string{"principal", "action", "resource", "context"},
		"properties": map[string]any{
			"principal": object(policies.Principal{}),
			"action":    map[string]any{"type": "string", "enum": []any{action}},
			"resource":  object(facts),
			"context":   object(policies.Context{}),
		},
	}
}

// object is the schema of a struct, without what belongs at a document's top.
func object(v any) *jsonschema.Schema {
	r := &jsonschema.Reflector{Anonymous: true, DoNotReference: true, Mapper: special}
	s := r.Reflect(v)
	s.Version = ""
	return s
}

// special maps the types whose JSON is not what their Go kind suggests.
func special(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[agent.Duration]():
		return &jsonschema.Schema{Type: "string"}
	case reflect.TypeFor[json.RawMessage]():
		return new(jsonschema.Schema)
	}
	if t.Kind() == reflect.String && strings.HasPrefix(t.PkgPath(), "symbi.dev/symbi/") {
		return &jsonschema.Schema{Type: "string"}
	}
	return nil
}
