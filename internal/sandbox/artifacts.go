package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"symbi.dev/symbi/agent"
)

// Sink keeps content by its digest; it reads r to its end and fails when that
// is beyond limit bytes. An empty want means any digest.
type Sink interface {
	Put(ctx context.Context, want agent.Digest, r io.Reader, limit int64) (agent.Digest, int64, error)
}

// Bounds of what is taken from $SYMBI_OUTPUT. Their total size is bounded by
// the task folder's.
const (
	maxArtifacts    = 1000
	maxArtifactPath = 512 // bytes
	maxDepth        = 16  // folders
	// maxWarnings bounds what is told of names that are left out, maxOddNames
	// how many are walked past.
	maxWarnings = 20
	maxOddNames = 10_000
)

// Collected is what a program left in $SYMBI_OUTPUT.
type Collected struct {
	Artifacts []agent.Artifact
	// Warnings name what was left out: links, pipes, sockets, devices, and
	// names that are no UTF-8 or hold control characters.
	Warnings []string
	// Failure is set when there is more than is taken; then there are no
	// artifacts.
	Failure *agent.Failure
}

// Collect gives the files in $SYMBI_OUTPUT to sink. It is called once the
// sandbox is over. Its error is sink's, or that of reading the folder.
func (sb *Sandbox) Collect(ctx context.Context, sink Sink) (Collected, error) {
	if sb.isRemoved() {
		return Collected{}, gone(sb.lease)
	}
	root, err := os.OpenRoot(sb.folder.output())
	if errors.Is(err, fs.ErrNotExist) {
		return Collected{}, nil // never launched, or the program removed it
	}
	if err != nil {
		return Collected{}, fmt.Errorf("open the output folder: %w", err)
	}
	defer root.Close()
	c := collector{root: root, left: max(sb.rec.ScratchMB, minScratchMB) << 20}
	err = c.walk(".", 0)
	if err == nil {
		err = c.keep(ctx, sink)
	}
	if errors.As(err, &c.out.Failure) {
		c.out.Artifacts, err = nil, nil
	}
	if more := c.odd - maxWarnings; more > 0 {
		c.out.Warnings = append(c.out.Warnings, fmt.Sprintf("and %d more", more))
	}
	return c.out, err
}

type collector struct {
	root  *os.Root
	paths []string
	left  int64 // bytes
	odd   int
	out   Collected
}

// tooMuch is the failure of an output that is more than is taken.
func tooMuch(format string, args ...any) *agent.Failure {
	return &agent.Failure{
		Class: agent.FailProgram, Code: agent.CodeBadArtifact, Cause: "its output cannot be taken: " + fmt.Sprintf(format, args...),
		NextStep: "have it write fewer files to $SYMBI_OUTPUT, or one archive; working files belong into its working folder",
	}
}

// warn notes something that is left out.
func (c *collector) warn(name, why string) error {
	c.odd++
	if c.odd > maxOddNames {
		return tooMuch("there are more than %d entries that are no files", maxOddNames)
	}
	if c.odd <= maxWarnings {
		c.out.Warnings = append(c.out.Warnings, fmt.Sprintf("%s was left out of the artifacts: %s", shown(name), why))
	}
	return nil
}

// shown makes a name fit to be shown.
func shown(name string) string { return clip(fmt.Sprintf("%q", name)) }

// walk lists the files in a folder and below.
func (c *collector) walk(dir string, depth int) error {
	if depth > maxDepth {
		return tooMuch("folders lie more than %d deep", maxDepth)
	}
	f, err := c.root.Open(dir)
	if err != nil {
		return fmt.Errorf("read the output folder: %w", err)
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(256)
		for _, e := range entries {
			if err := c.entry(path.Join(dir, e.Name()), e.Type(), depth); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the output folder: %w", err)
		}
	}
}

// entry takes or leaves out one name.
func (c *collector) entry(name string, kind fs.FileMode, depth int) error {
	switch {
	case !plainName(name):
		return c.warn(name, "its name is no UTF-8, or holds control characters or a backslash")
	case len(name) > maxArtifactPath:
		return tooMuch("the path %s has more than %d bytes", shown(name), maxArtifactPath)
	case kind.IsDir():
		return c.walk(name, depth+1)
	case kind&fs.ModeSymlink != 0:
		return c.warn(name, "it is a symbolic link")
	case kind&fs.ModeNamedPipe != 0:
		return c.warn(name, "it is a named pipe")
	case !kind.IsRegular():
		return c.warn(name, "it is not a regular file")
	case len(c.paths) == maxArtifacts:
		return tooMuch("there are more than %d files", maxArtifacts)
	}
	c.paths = append(c.paths, name)
	return nil
}

// plainName reports whether a path can be shown, and written in a URL.
func plainName(name string) bool {
	return utf8.ValidString(name) && !strings.Contains(name, `\`) && !strings.ContainsFunc(name, func(r rune) bool {
		return !unicode.IsPrint(r)
	})
}

// keep gives the files to sink.
func (c *collector) keep(ctx context.Context, sink Sink) error {
	slices.Sort(c.paths)
	for _, name := range c.paths {
		a, err := c.keepOne(ctx, sink, name)
		if err != nil {
			return err
		}
		c.out.Artifacts = append(c.out.Artifacts, a)
	}
	return nil
}

func (c *collector) keepOne(ctx context.Context, sink Sink, name string) (agent.Artifact, error) {
	f, info, err := openPlain(c.root, name)
	if err != nil {
		return agent.Artifact{}, fmt.Errorf("read an artifact: %w", err)
	}
	defer f.Close()
	// A file may have holes and so be larger than the folder it is in.
	if c.left -= info.Size(); c.left < 0 {
		return agent.Artifact{}, tooMuch("the files are together larger than the task's scratch space")
	}
	digest, size, err := sink.Put(ctx, "", f, info.Size())
	if err != nil {
		return agent.Artifact{}, fmt.Errorf("keep an artifact: %w", err)
	}
	return agent.Artifact{Path: name, Bytes: size, Digest: digest, MediaType: mediaType(f, name)}, nil
}

// mediaType goes by the name, and by the first bytes where that says nothing.
func mediaType(f *os.File, name string) string {
	if byName := mime.TypeByExtension(path.Ext(name)); byName != "" {
		return byName
	}
	head := make([]byte, 512)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		n = 0
	}
	return cmp.Or(http.DetectContentType(head[:n]), "application/octet-stream")
}
