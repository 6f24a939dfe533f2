package workflows_test

import (
	"os"
	"path/filepath"
	"testing"

	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"symbi.dev/symbi/workflows"
	"symbi.dev/symbi/workflows/api"
)

// TestRecordedHistoriesReplay runs today's workflows against the histories that
// every tagged version left (test/durability records them): workflows that
// began under it must go on.
func TestRecordedHistoriesReplay(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d recorded histories, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			r := worker.NewWorkflowReplayer()
			r.RegisterWorkflowWithOptions(workflows.Agent, workflow.RegisterOptions{Name: api.AgentWorkflow})
			r.RegisterWorkflowWithOptions(workflows.Task, workflow.RegisterOptions{Name: api.TaskWorkflow})
			if err := r.ReplayWorkflowHistoryFromJSONFile(nil, file); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTestdataHoldsNoFolderThatIsNoTag(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() || e.Name()[0] != 'v' {
			t.Errorf("testdata/%s: folders are named for tags", e.Name())
		}
	}
}
