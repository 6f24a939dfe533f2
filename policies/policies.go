// Package policies is the default policy: the rules (*.rego, package
// symbi.authz), their tests (*_test.rego), and one JSON Schema an action for
// what a rule may read of the question (schemas/, made from facts.go). All of
// it is embedded; internal/policy evaluates it.
//
// Nothing is allowed unless a rule says so, and whatever a deny rule objects
// to is denied whoever allows it. Every rule names the schema of its action, so
// that a misspelt field is found before it is asked.
package policies

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"

	"symbi.dev/symbi/agent"
)

//go:generate go run ./internal/schemagen

// Package is the package of the rules, as a path of data.
const Package = "data.symbi.authz"

//go:embed *.rego schemas/*.json
var files embed.FS

// Modules gives the default rules by file name, without their tests.
func Modules() map[string]string { return modules(false) }

// Tests gives the tests of the default rules by file name.
func Tests() map[string]string { return modules(true) }

func modules(tests bool) map[string]string {
	out := map[string]string{}
	for _, name := range names(".", ".rego") {
		if strings.HasSuffix(name, "_test.rego") == tests {
			out[name] = string(read(name))
		}
	}
	return out
}

// Schemas gives the schema of each action's question, decoded.
func Schemas() map[agent.Action]any {
	out := map[agent.Action]any{}
	for _, name := range names("schemas", ".json") {
		var schema any
		if err := json.Unmarshal(read("schemas/"+name), &schema); err != nil {
			panic(fmt.Errorf("policies/schemas/%s: %w", name, err)) // a test reads them all
		}
		out[agent.Action(strings.TrimSuffix(name, ".json"))] = schema
	}
	return out
}

func names(dir, suffix string) []string {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		panic(err) // it is embedded
	}
	var out []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			out = append(out, e.Name())
		}
	}
	return out
}

func read(name string) []byte {
	b, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	return b
}
