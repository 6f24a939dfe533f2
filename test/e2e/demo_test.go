package e2e

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the transcript of the demo anew")

// unsteady is what differs from run to run, and what stands for it.
var unsteady = []struct {
	find    *regexp.Regexp
	replace string
}{
	{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), "http://ADDRESS"},
	{regexp.MustCompile(`token=\S+`), "token=…"},
	{regexp.MustCompile(`\S*/(data|output)(/|\b)`), "$1$2"},
	{regexp.MustCompile(`\b[0-9a-v]{16}\b`), "TASK"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d\.\d+`), "TIME"},
	{regexp.MustCompile(`\[ *\d+%\] bootstrapping .*`), "[ N%] bootstrapping …"},
	{regexp.MustCompile(`done, \d+ resamples done, [\d.]+ s of CPU`), "done, N resamples done, N s of CPU"},
	{regexp.MustCompile(`: \d+ ms, and 2 s later \d+ ms`), ": N ms, and 2 s later N ms"},
	{regexp.MustCompile(`: \d+, and 2 s later \d+`), ": N, and 2 s later N"},
	{regexp.MustCompile(`(?m)^used .*`), "used       …"},
	{regexp.MustCompile(`\([\d.]+ (Ki|Mi)?B\)`), "(SIZE)"},
	{regexp.MustCompile(`, held by cgroup [^(\n]*`), ", held by the cgroup "},
}

// TestTheDemosTranscript runs the demo and holds what it prints against what
// it printed before.
func TestTheDemosTranscript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "examples/strike-report/demo.sh"),
		"--data", filepath.Join(dir, "data"), "--output", filepath.Join(dir, "output"), "--listen", freeAddress())
	cmd.Env = []string{"HOME=" + filepath.Join(dir, "home"), "PATH=" + os.Getenv("PATH"), "NO_COLOR=1", "TZ=UTC"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the demo: %v\n%s", err, out)
	}
	got := string(out)
	for _, u := range unsteady {
		got = u.find.ReplaceAllString(got, u.replace)
	}
	const golden = "testdata/demo.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the demo prints something else; look, and if it is right: go test ./test/e2e -run Demo -update\n%s", firstDifference(string(want), got))
	}
	report, err := os.ReadFile(filepath.Join(dir, "output", "report.html"))
	if err != nil || !strings.Contains(string(report), "<svg") {
		t.Errorf("the report has no chart (%v)", err)
	}
}

// firstDifference shows the first line that differs.
func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return "want: " + w[i] + "\ngot:  " + g[i]
		}
	}
	return "one is longer than the other:\n" + strings.Join(append(w[min(len(w), len(g)):], g[min(len(w), len(g)):]...), "\n")
}
