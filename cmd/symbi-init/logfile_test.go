package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// kept reads a log's segments: their offsets and their content.
func kept(t *testing.T, dir string) (starts []int64, segments map[int64]string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	segments = map[int64]string{}
	for _, e := range entries {
		var at int64
		if _, err := fmt.Sscanf(e.Name(), "log.%d", &at); err != nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		starts, segments[at] = append(starts, at), string(data)
	}
	slices.Sort(starts)
	return starts, segments
}

func TestLogKeepsBeginningAndEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const head, tail = 100_000, 400_000
	l := newLogFile(filepath.Join(dir, "log."), head, tail)
	var whole strings.Builder
	for i := range 200_000 {
		rec := fmt.Sprintf("%d o line number %d\n", i, i)
		whole.WriteString(rec)
		l.write([]byte(rec), time.Now())
	}
	written, dropped := l.close()
	starts, segments := kept(t, dir)
	if len(segments[0]) > head || len(segments[0]) < head-100 {
		t.Errorf("the first segment has %d bytes", len(segments[0]))
	}
	var sum int64
	for i, at := range starts {
		s := segments[at]
		sum += int64(len(s))
		if whole.String()[at:at+int64(len(s))] != s {
			t.Errorf("segment %d is not what was written at its offset", at)
		}
		if !strings.HasSuffix(s, "\n") {
			t.Errorf("segment %d ends within a record", at)
		}
		if i >= 2 && at != starts[i-1]+int64(len(segments[starts[i-1]])) {
			t.Errorf("there is a gap before segment %d", at)
		}
	}
	if written != int64(whole.Len()) || written-dropped != sum {
		t.Errorf("written %d, dropped %d, on disk %d; %d were given", written, dropped, sum, whole.Len())
	}
	if end := sum - int64(len(segments[0])); end < tail || end > tail+2*tail/tailParts {
		t.Errorf("%d bytes of the end are kept, want at least %d", end, tail)
	}
}

func TestShortLogIsWholeInOneSegment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := newLogFile(filepath.Join(dir, "log."), 0, 0)
	l.write([]byte("1 o a\n2 e b\n"), time.Now())
	if written, dropped := l.close(); written != 12 || dropped != 0 {
		t.Errorf("written %d, dropped %d", written, dropped)
	}
	if starts, segments := kept(t, dir); len(starts) != 1 || segments[0] != "1 o a\n2 e b\n" {
		t.Errorf("segments %v", segments)
	}
}

func TestLogCountsWhatTheFolderDoesNotTake(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "later")
	l := newLogFile(filepath.Join(dir, "log."), 0, 0)
	now := time.Now()
	rec := []byte("1 o a\n")
	l.write(rec, now)
	l.write(rec, now)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l.write(rec, now)                  // too soon to try again
	l.write(rec, now.Add(time.Hour))   // kept
	l.write(rec, now.Add(2*time.Hour)) // kept
	if written, dropped := l.close(); written != 30 || dropped != 18 {
		t.Errorf("written %d, dropped %d", written, dropped)
	}
	if starts, segments := kept(t, dir); len(starts) != 1 || segments[18] != string(bytes.Repeat(rec, 2)) {
		t.Errorf("segments %v: the offset must tell of the gap", segments)
	}
}

func TestLogReplacesWhatIsInItsPlace(t *testing.T) {
	t.Parallel()
	for name, occupy := range map[string]func(path string) error{
		"a file":   func(p string) error { return os.WriteFile(p, []byte("junk"), 0o400) },
		"a folder": func(p string) error { return os.MkdirAll(filepath.Join(p, "x"), 0o755) },
		"a link":   func(p string) error { return os.Symlink("/dev/full", p) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := occupy(filepath.Join(dir, "log.0")); err != nil {
				t.Fatal(err)
			}
			l := newLogFile(filepath.Join(dir, "log."), 0, 0)
			l.write([]byte("1 o a\n"), time.Now())
			l.close()
			if _, segments := kept(t, dir); segments[0] != "1 o a\n" {
				t.Errorf("segments %v", segments)
			}
		})
	}
}
