package schema_test

import (
	"os"
	"path/filepath"
	"testing"

	"symbi.dev/symbi/policies/internal/schema"
)

func TestCommittedSchemasAreThoseThatTheTypesGive(t *testing.T) {
	t.Parallel()
	const dir = "../../schemas"
	all, err := schema.All()
	if err != nil {
		t.Fatal(err)
	}
	for action, want := range all {
		got, err := os.ReadFile(filepath.Join(dir, string(action)+".json"))
		if err != nil {
			t.Error(err)
			continue
		}
		if string(got) != string(want) {
			t.Errorf("%s.json is not current; run `go generate ./policies`", action)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(all) {
		t.Errorf("%d files in schemas for %d actions; remove those that no action has", len(files), len(all))
	}
}
