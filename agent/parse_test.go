package agent

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

const goodManifest = `apiVersion: symbi/v1
kind: Agent
name: good
program:
  script: {language: python, code: "print(1)"}
inputs:
  reports: {sensitivity: public, media_type: text/csv, max_mb: 50}
params: {top: {type: integer, default: 20}}
resources: {memory_mb: 512, cpu_cores: 1, execution_timeout: 10m}
`

func TestParseRefusesWithPathLineAndWhatToDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, from, to, path, says string }{
		{"unknown key", "kind: Agent", "kind: Agent\ncolour: red", "colour", "unknown"},
		{"misspelt key", "memory_mb", "memory_mv", "resources.memory_mv", "did you mean memory_mb"},
		{"key twice", "kind: Agent", "kind: Agent\nkind: Agent", "kind", "twice"},
		{"slash", "name: good", "name: a/b", "name", "a-z"},
		{"dot", "name: good", "name: a.b", "name", "a-z"},
		{"emoji", "name: good", "name: \"🐦\"", "name", "a-z"},
		{"long name", "name: good", "name: " + strings.Repeat("x", 300), "name", "63"},
		{"number as a name", "name: good", "name: 12", "name", "quotes"},
		{"zero memory", "memory_mb: 512", "memory_mb: 0", "resources.memory_mb", "out of bounds"},
		{"negative CPU", "cpu_cores: 1", "cpu_cores: -1", "resources.cpu_cores", "out of bounds"},
		{"text for a number", "memory_mb: 512", "memory_mb: lots", "resources.memory_mb", "whole number"},
		{"no unit", "10m", "600", "resources.execution_timeout", "unit"},
		{"too long a timeout", "10m", "9000h", "resources.execution_timeout", "out of bounds"},
		{"bad word", "sensitivity: public", "sensitivity: secret", "inputs.reports.sensitivity", "confidential"},
		{"two programs", "program:", "program:\n  container: {image: a}", "program", "both"},
		{"no program", "  script: {language: python, code: \"print(1)\"}", "  env: {A: b}", "program", "nothing to run"},
		{"file outside", "code: \"print(1)\"", "file: ../x.py", "program.script.file", "clean path"},
		{"reserved variable", "program:", "program:\n  env: {SYMBI_X: y}", "program.env.SYMBI_X", "runtime's own"},
		{"default against its schema", "default: 20", "default: many", "params.top.default", "integer"},
		{"schema from elsewhere", "{type: integer, default: 20}", "{$ref: \"http://example.com/x\"}", "params.top", "not loaded"},
		{"list for a mapping", "resources: {memory_mb: 512, cpu_cores: 1, execution_timeout: 10m}", "resources: []", "resources", "mapping"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			source := strings.Replace(goodManifest, c.from, c.to, 1)
			_, _, err := Parse([]byte(source))
			e, ok := err.(*Error)
			if !ok || e.Kind != ErrInvalid {
				t.Fatalf("got %v", err)
			}
			for _, f := range e.Fields {
				if f.Path == c.path && strings.Contains(f.Message, c.says) && f.Line > 0 {
					return
				}
			}
			t.Errorf("got %v; want %s saying %q, with its line", err, c.path, c.says)
		})
	}
}

func TestParseListsAllErrorsAtOnce(t *testing.T) {
	t.Parallel()
	source := strings.NewReplacer("name: good", "name: A", "512", "-1", "10m", "soon", "kind: Agent", "kind: Dog").Replace(goodManifest)
	_, _, err := Parse([]byte(source))
	if e, ok := err.(*Error); !ok || len(e.Fields) != 4 {
		t.Errorf("got %v, want four errors", err)
	}
}

func TestParseRefusesWhatIsNoManifestAtAll(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"empty":         "",
		"10 MB":         goodManifest + strings.Repeat("# x\n", 5<<19),
		"bomb":          "a: &a [x,x]\nb: [*a,*a]\n",
		"two documents": goodManifest + "---\n" + goodManifest,
		"no YAML":       "a: [",
		"a list":        "- a\n",
		"deep":          strings.Repeat("[", 100) + strings.Repeat("]", 100),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if m, _, err := Parse([]byte(source)); err == nil {
				t.Errorf("got %+v", m)
			}
		})
	}
}

func TestParseFillsInTheCautiousValue(t *testing.T) {
	t.Parallel()
	m, warnings, err := Parse([]byte("apiVersion: symbi/v1\nkind: Agent\nname: a\nprogram: {script: {language: shell, code: x}}\ninputs: {i: {}}\nsecrets: [db]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Inputs["i"].Sensitivity != Restricted || m.Source.Trust != Untrusted || m.Namespace != DefaultNamespace || m.Tasks.Retry.MaxAttempts != 1 {
		t.Errorf("got %+v", m)
	}
	if len(m.Unstated) != 4 {
		t.Errorf("unstated: %v", m.Unstated)
	}
	if len(warnings) != 1 || warnings[0].Path != "secrets" {
		t.Errorf("warnings: %v", warnings)
	}
}

func TestYAMLReadsBackAsAnEqualManifest(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile("../examples/strike-report/agent.yaml")
	if err != nil {
		t.Fatal(err)
	}
	stated := goodManifest + "network: {connections: 0}\nexternal_apis: []\nfilesystem: {scratch_mb: 5}\nsource: {trust: untrusted}\n"
	for _, source := range [][]byte{[]byte(goodManifest), example, []byte(stated)} {
		m, _, err := Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := Parse(m.YAML())
		if err != nil {
			t.Fatalf("%v in\n%s", err, m.YAML())
		}
		if !bytes.Equal(m.Canonical(), again.Canonical()) {
			t.Errorf("got\n%s\nwant\n%s", again.Canonical(), m.Canonical())
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(goodManifest))
	f.Add([]byte("{\"apiVersion\": \"symbi/v1\"}"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, source []byte) {
		m, _, err := Parse(source)
		if err != nil {
			return
		}
		again, _, err := Parse(m.YAML())
		if err != nil {
			t.Fatalf("a manifest that was read cannot be read again: %v\n%s", err, m.YAML())
		}
		if !bytes.Equal(again.Canonical(), m.Canonical()) {
			t.Errorf("got %s, want %s", again.Canonical(), m.Canonical())
		}
	})
}
