package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"symbi.dev/symbi/agent"
)

// keptBlobs is a Sink in memory.
type keptBlobs map[agent.Digest]string

func (k keptBlobs) Put(_ context.Context, _ agent.Digest, r io.Reader, limit int64) (agent.Digest, int64, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return "", 0, err
	}
	if int64(len(b)) > limit {
		return "", 0, fmt.Errorf("more than %d bytes", limit)
	}
	sum := sha256.Sum256(b)
	d := agent.Digest("sha256:" + hex.EncodeToString(sum[:]))
	k[d] = string(b)
	return d, int64(len(b)), nil
}

func TestArtifactsAreTakenAndLinksAreNotFollowed(t *testing.T) {
	both(t, func(t *testing.T, tier agent.Tier) {
		s := shell(tier, `cd "$SYMBI_OUTPUT"; mkdir -p a/b; echo deep >a/b/c.txt; echo '<p>' >page.html; : >empty; echo x >"with space é"
			ln -s /etc/shadow shadow; ln -s ../../../../../../etc/passwd a/up; ln -s a folder; mkfifo pipe; chmod 0 a/b/c.txt; printf x >"$(printf 'new\nline')"`)
		sb, o := run(t, s)
		if o.Failure != nil {
			t.Fatal(o.Failure, logOf(t, sb))
		}
		blobs := keptBlobs{}
		got, err := sb.Collect(t.Context(), blobs)
		if err != nil || got.Failure != nil {
			t.Fatal(err, got.Failure)
		}
		var names []string
		for _, a := range got.Artifacts {
			names = append(names, a.Path)
			if content := blobs[a.Digest]; int64(len(content)) != a.Bytes || strings.Contains(content, "root:") {
				t.Errorf("%s: %d bytes: %q", a.Path, a.Bytes, content)
			}
		}
		if want := []string{"a/b/c.txt", "empty", "page.html", "with space é"}; !slices.Equal(names, want) {
			t.Errorf("artifacts %q, want %q", names, want)
		}
		if a := got.Artifacts[2]; !strings.HasPrefix(a.MediaType, "text/html") {
			t.Errorf("media type %q", a.MediaType)
		}
		warned := strings.Join(got.Warnings, "\n")
		for _, name := range []string{`"shadow"`, `"a/up"`, `"folder"`, `"new\nline"`} {
			if !strings.Contains(warned, name) {
				t.Errorf("no warning of %s in\n%s", name, warned)
			}
		}
	})
}

// output is a sandbox that is over and left what fill made.
func output(t *testing.T, fill func(dir string)) *Sandbox {
	t.Helper()
	sb := node.newSandbox("made-up")
	sb.folder = taskFolder(t.TempDir())
	sb.rec.ScratchMB = 8
	if err := os.MkdirAll(sb.folder.output(), 0o755); err != nil {
		t.Fatal(err)
	}
	fill(sb.folder.output())
	return sb
}

func TestOutputsThatAreMoreThanIsTaken(t *testing.T) {
	t.Parallel()
	file := func(path string) {
		if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
			t.Error(err)
		}
	}
	for name, test := range map[string]struct {
		fill  func(dir string)
		cause string
	}{
		"too many files": {func(dir string) {
			for i := range maxArtifacts + 1 {
				file(filepath.Join(dir, fmt.Sprint(i)))
			}
		}, "more than 1000 files"},
		"a file of holes": {func(dir string) {
			file(filepath.Join(dir, "holes"))
			if err := os.Truncate(filepath.Join(dir, "holes"), 1<<40); err != nil {
				t.Error(err)
			}
		}, "larger than"},
		"folders without end": {func(dir string) {
			if err := os.MkdirAll(dir+strings.Repeat("/d", maxDepth+1), 0o755); err != nil {
				t.Error(err)
			}
		}, "deep"},
		"a long path": {func(dir string) {
			long := dir + strings.Repeat("/"+strings.Repeat("n", 200), 3)
			if err := os.MkdirAll(long, 0o755); err != nil {
				t.Error(err)
			}
			file(long + "/f")
		}, "512 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := output(t, test.fill).Collect(t.Context(), keptBlobs{})
			if err != nil {
				t.Fatal(err)
			}
			f := got.Failure
			if f == nil || f.Class != agent.FailProgram || f.Code != agent.CodeBadArtifact || !strings.Contains(f.Cause, test.cause) {
				t.Errorf("failure %v", f)
			}
			if len(got.Artifacts) > 0 {
				t.Errorf("%d artifacts", len(got.Artifacts))
			}
		})
	}
}

func TestSpecialFilesAreLeftOut(t *testing.T) {
	t.Parallel()
	sb := output(t, func(dir string) {
		l, err := net.Listen("unix", filepath.Join(dir, "s"))
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { l.Close() })
		for i := range maxWarnings + 5 {
			if err := os.Symlink("/", filepath.Join(dir, fmt.Sprintf("link%d", i))); err != nil {
				t.Error(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "bad\xffname"), nil, 0o644); err != nil {
			t.Error(err)
		}
	})
	got, err := sb.Collect(t.Context(), keptBlobs{})
	if err != nil || got.Failure != nil || len(got.Artifacts) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if n := len(got.Warnings); n != maxWarnings+1 || got.Warnings[n-1] != "and 7 more" {
		t.Errorf("%d warnings, the last %q", n, got.Warnings[n-1])
	}
}
