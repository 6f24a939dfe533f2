package structure

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	inQuotes = regexp.MustCompile("`([^`]+)`")
	testName = regexp.MustCompile(`^(Test|Benchmark|Fuzz)[A-Z]`)
)

// TestRequirementsNameWhatExists keeps docs/requirements.md from claiming what
// is not there.
func TestRequirementsNameWhatExists(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/requirements.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "| R") {
			continue
		}
		rows++
		for _, m := range inQuotes.FindAllStringSubmatch(line, -1) {
			if testName.MatchString(m[1]) {
				if exec.Command("git", "-C", "../..", "grep", "-q", "func "+m[1]+"(").Run() != nil {
					t.Errorf("there is no %s: %s", m[1], line)
				}
				continue
			}
			if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
				t.Errorf("there is no %s: %s", m[1], line)
			}
		}
	}
	if rows < 30 {
		t.Errorf("only %d requirements are listed", rows)
	}
}
