package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// commandsIn gives the commands of a page that begin with bin/symbi: lines
// that are indented by four, joined where they end in a backslash.
func commandsIn(t *testing.T, page string) []string {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	text := strings.ReplaceAll(string(b), "\\\n", " ")
	for line := range strings.Lines(text) {
		command, ok := strings.CutPrefix(line, "    bin/symbi ")
		if !ok {
			continue
		}
		command, _, _ = strings.Cut(command, "#")
		found = append(found, strings.Join(strings.Fields(command), " "))
	}
	return found
}

// TestCommandsOfTheREADME runs them as a newcomer would: from the checkout,
// with an empty HOME, beside a `symbi dev`.
func TestCommandsOfTheREADME(t *testing.T) {
	t.Parallel()
	runCommandsOf(t, "../../README.md", 3)
}

// TestCommandsOfTheProgramsPage runs those of docs/program.md.
func TestCommandsOfTheProgramsPage(t *testing.T) {
	t.Parallel()
	runCommandsOf(t, "../../docs/program.md", 1)
}

// runCommandsOf runs the commands of a page, of which there are at least so many.
func runCommandsOf(t *testing.T, page string, least int) {
	t.Helper()
	d := theDev(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, target := range map[string]string{
		"bin": "bin", "examples": "examples", "README.md": "README.md",
		"report.py": "examples/strike-report/report.py", "birdstrikes.csv": "examples/strike-report/birdstrikes.csv",
	} {
		if err := os.Symlink(filepath.Join(root, target), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	commands := commandsIn(t, page)
	if len(commands) < least {
		t.Fatalf("only %d commands found", len(commands))
	}
	for _, command := range commands {
		if command == "dev" {
			continue // it runs already
		}
		if r := d.symbiIn(dir, strings.Fields(command)...); r.code != 0 {
			t.Errorf("bin/symbi %s: exit %d\n%s%s", command, r.code, r.out, r.err)
		}
	}
}

// TestHelpHasExamples looks at every command's help.
func TestHelpHasExamples(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	for _, command := range []string{
		"run", "apply", "agent run", "agent create", "agent update", "agent list", "agent get", "agent history",
		"agent suspend", "agent resume", "agent terminate", "task submit", "task list", "task get", "task logs",
		"task artifacts", "task cancel", "task retry", "status", "dev", "login", "server", "worker",
	} {
		if out := d.must(append(strings.Fields(command), "--help")...); !strings.Contains(out, "Examples:") {
			t.Errorf("symbi %s --help has no example", command)
		}
	}
}
