package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bench is one run of this command.
type bench struct {
	only   []string
	out    string
	binary string
	agents int
	missed []string
}

// figure is one measured number.
type figure struct {
	Name     string  `json:"name"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit"`
	Goal     string  `json:"goal,omitempty"`     // "<=450"
	Baseline float64 `json:"baseline,omitempty"` // the raw engine's, in the same run
	Note     string  `json:"note,omitempty"`
	// How and where it was measured.
	Command string `json:"command"`
	Commit  string `json:"commit"`
	Machine string `json:"machine"`
	Date    string `json:"date"`
}

// report prints a figure and keeps it in the place of an earlier one.
func (b *bench) report(f figure) error {
	f.Value, f.Baseline = rounded(f.Value), rounded(f.Baseline)
	f.Command, f.Commit, f.Machine = "make bench ONLY="+f.Name, commit(), machine()
	f.Date = time.Now().UTC().Format(time.DateOnly)
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(f); err != nil {
		return err
	}
	line := strings.TrimSpace(text.String())
	fmt.Println(line)
	if met, err := meets(f); err != nil {
		return err
	} else if !met {
		b.missed = append(b.missed, fmt.Sprintf("%s is %v %s, goal %s", f.Name, f.Value, f.Unit, f.Goal))
	}
	return b.keep(f.Name, line)
}

// keep writes a figure's line, sorted among the others by name.
func (b *bench) keep(name, line string) error {
	old, err := os.ReadFile(b.out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	lines := map[string]string{name: line}
	scan := bufio.NewScanner(bytes.NewReader(old))
	for scan.Scan() {
		var f figure
		if err := json.Unmarshal(scan.Bytes(), &f); err != nil {
			return fmt.Errorf("read %s: %w", b.out, err)
		}
		if f.Name != name {
			lines[f.Name] = scan.Text()
		}
	}
	var sorted []string
	for _, l := range lines {
		sorted = append(sorted, l)
	}
	slices.Sort(sorted)
	if err := os.MkdirAll(filepath.Dir(b.out), 0o755); err != nil {
		return err
	}
	return os.WriteFile(b.out, []byte(strings.Join(sorted, "\n")+"\n"), 0o644)
}

// meets reports whether a figure reaches its goal.
func meets(f figure) (bool, error) {
	if f.Goal == "" {
		return true, nil
	}
	bound, err := strconv.ParseFloat(strings.TrimLeft(f.Goal, "<>="), 64)
	if err != nil {
		return false, fmt.Errorf("the goal %q of %s: %w", f.Goal, f.Name, err)
	}
	if strings.HasPrefix(f.Goal, "<=") {
		return f.Value <= bound, nil
	}
	return f.Value >= bound, nil
}

// rounded keeps four significant digits.
func rounded(v float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	if err != nil || math.IsInf(r, 0) {
		return v
	}
	return r
}

// percentile gives the p-th percentile of some durations, in milliseconds.
func percentile(d []time.Duration, p float64) float64 {
	s := slices.SortedFunc(slices.Values(d), cmp.Compare[time.Duration])
	i := min(int(math.Ceil(p/100*float64(len(s))))-1, len(s)-1)
	return float64(s[max(i, 0)].Microseconds()) / 1000
}

// commit names what was measured.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// machine says what it was measured on.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				model = strings.TrimSpace(strings.TrimLeft(name, "\t :"))
				break
			}
		}
	}
	memory := ""
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kb int
		if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kb); err == nil {
			memory = fmt.Sprintf(", %d GiB", (kb+1<<19)>>20)
		}
	}
	return fmt.Sprintf("%d cores of %s%s", runtime.NumCPU(), model, memory)
}
