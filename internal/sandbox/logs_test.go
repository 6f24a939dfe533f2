package sandbox

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/tasklog"
)

// logFolder is a sandbox that is over with files in its control folder.
func logFolder(t *testing.T, files map[string]string) *Sandbox {
	t.Helper()
	sb := node.newSandbox("made-up")
	sb.folder = taskFolder(t.TempDir())
	if err := os.MkdirAll(sb.folder.control(), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(sb.folder.control(), name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sb.finish(agent.Outcome{})
	return sb
}

func TestALogIsReadAcrossItsSegments(t *testing.T) {
	t.Parallel()
	const record = "1 o x\n" // 6 bytes
	for name, test := range map[string]struct {
		files map[string]string
		from  int64
		want  string
	}{
		"none":                         {nil, 0, ""},
		"one":                          {map[string]string{"log.0": record + record}, 0, record + record},
		"from within":                  {map[string]string{"log.0": record + record}, 6, record},
		"beyond its end":               {map[string]string{"log.0": record}, 100, ""},
		"two without a gap":            {map[string]string{"log.0": record, "log.6": record}, 0, record + record},
		"a gap":                        {map[string]string{"log.0": record, "log.106": record}, 0, record + "0 g 100\n" + record},
		"from within a gap":            {map[string]string{"log.0": record, "log.106": record}, 50, "0 g 56\n" + record},
		"the beginning is gone":        {map[string]string{"log.10": record}, 0, "0 g 10\n" + record},
		"a record that is not whole":   {map[string]string{"log.0": record + "2 o unfin"}, 0, record},
		"an unfinished one, then more": {map[string]string{"log.0": record + "2 o", "log.12": record}, 0, record + "0 g 6\n" + record},
		"names that are none":          {map[string]string{"log.x": "a\n", "log.-6": "b\n", "log.99999999999999999999": "c\n", "log.0": record}, 0, record},
		"forged and overlapping":       {map[string]string{"log.0": record + record, "log.3": record}, 0, record + record},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb := logFolder(t, test.files)
			got, err := io.ReadAll(sb.LogReader(t.Context(), test.from))
			if err != nil || string(got) != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestALogIsReadInParts(t *testing.T) {
	t.Parallel()
	sb := logFolder(t, map[string]string{"log.0": strings.Repeat("1 o abc\n", 10)})
	var offset int64
	for range 5 {
		chunk, err := sb.ReadLog(offset, 20)
		if err != nil || chunk.Offset != offset || len(chunk.Bytes) != 16 || chunk.End {
			t.Fatalf("chunk %+v, %v", chunk, err)
		}
		offset += int64(len(chunk.Bytes))
	}
	chunk, err := sb.ReadLog(offset, 20)
	if err != nil || len(chunk.Bytes) > 0 || !chunk.End {
		t.Errorf("at the end: %+v, %v", chunk, err)
	}
}

func TestALogIsNotReadThroughLinksAndPipes(t *testing.T) {
	t.Parallel()
	sb := logFolder(t, map[string]string{"log.0": "1 o x\n"})
	if err := os.Symlink("/etc/passwd", filepath.Join(sb.folder.control(), "log.6")); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(sb.LogReader(t.Context(), 0))
	if err != nil || string(got) != "1 o x\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A follower is told of each line by the kernel. Here it has nobody else to
// tell it: it never looks by itself.
func TestAFollowerIsTold(t *testing.T) {
	t.Parallel()
	cfg := testConfig(shortDir(t), node.init)
	cfg.Logger = slog.New(slog.DiscardHandler)
	d := openOn(t, cfg)
	d.watch.poll = time.Hour
	for _, tier := range []agent.Tier{agent.TierDocker, agent.TierGVisor} {
		t.Run(string(tier), func(t *testing.T) {
			s := shell(tier, `for i in 1 2 3 4 5; do echo $i; sleep 0.1; done; while [ ! -e /symbi/control/go ]; do sleep 0.02; done; echo end`)
			sb := startOn(t, d, s)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			r := tasklog.NewReader(sb.LogReader(ctx, 0), 0)
			var got []string
			for range 5 {
				rec, err := r.Read()
				if err != nil {
					t.Fatalf("after %q: %v", got, err)
				}
				got = append(got, string(rec.Text))
			}
			if err := os.WriteFile(filepath.Join(sb.folder.control(), "go"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(sb.LogReader(ctx, r.Offset()))
			if err != nil || !strings.HasSuffix(string(rest), "o end\n") {
				t.Errorf("the rest: %q, %v", rest, err)
			}
			if !slices.Equal(got, []string{"1", "2", "3", "4", "5"}) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestAFollowerMayComeBeforeTheSandboxIsLaunched(t *testing.T) {
	t.Parallel()
	cfg := testConfig(shortDir(t), node.init)
	d := openOn(t, cfg)
	d.watch.poll = time.Hour
	s := shell(agent.TierDocker, "echo hello; sleep 0.2; echo again")
	s.Frozen = true
	sb := startOn(t, d, s)
	follower := sb.LogReader(t.Context(), 0)
	read := make(chan string, 1)
	go func() {
		b, err := io.ReadAll(follower)
		if err != nil {
			t.Error(err)
		}
		read <- string(b)
	}()
	if err := sb.Thaw(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got := <-read; !strings.Contains(got, "hello") || !strings.HasSuffix(got, "again\n") {
		t.Errorf("got %q", got)
	}
}
