package sandbox

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"symbi.dev/symbi/internal/sandbox/initproto"
	"symbi.dev/symbi/internal/tasklog"
)

// LogChunk is a part of a log. Offset is where Bytes begin: later than what
// was asked for when bytes in between were not kept.
type LogChunk struct {
	Offset int64
	Bytes  []byte // whole records
	End    bool   // nothing will follow
}

// segment is one file of the log.
type segment struct {
	from, to int64 // offsets in the whole log
	name     string
}

// logName is what initproto.LogPrefix is called in its folder.
var logName = filepath.Base(initproto.LogPrefix)

// maxSegments bounds how many files are looked at: the folder holds no more.
const maxSegments = controlInodes

// segments lists the log's files in order. Names are the program's to forge:
// where two overlap, the later one begins at the earlier one's end.
func segments(root *os.Root) ([]segment, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(maxSegments)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var list []segment
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), logName)
		if !ok || !e.Type().IsRegular() {
			continue
		}
		from, err := strconv.ParseInt(number, 10, 62)
		if err != nil || from < 0 {
			continue
		}
		if info, err := e.Info(); err == nil {
			list = append(list, segment{from, from + info.Size(), e.Name()})
		}
	}
	slices.SortFunc(list, func(a, b segment) int { return cmp.Compare(a.from, b.from) })
	return list, nil
}

// logSize gives how much was written, and how much of it was not kept.
func (sb *Sandbox) logSize() (written, dropped int64) {
	root, err := os.OpenRoot(sb.folder.control())
	if err != nil {
		return 0, 0
	}
	defer root.Close()
	list, err := segments(root)
	if err != nil {
		return 0, 0
	}
	for _, s := range list {
		dropped += max(s.from-written, 0)
		written = max(written, s.to)
	}
	return written, dropped
}

// ReadLog reads records from an offset on, of at most size bytes together,
// which should be several times initproto.MaxLineBytes. There may be none yet.
// The error is of kind ErrNotFound when the sandbox was removed.
func (sb *Sandbox) ReadLog(offset int64, size int) (LogChunk, error) {
	over := sb.ended() // before looking: what follows its end is all there is
	for {
		chunk, err := sb.readLog(offset, size)
		switch {
		case errors.Is(err, fs.ErrNotExist) && sb.isRemoved():
			return LogChunk{Offset: offset, End: true}, gone(sb.lease)
		case errors.Is(err, errRotated):
			continue
		case errors.Is(err, fs.ErrNotExist):
			err = nil // not launched yet
		}
		chunk.End = over && len(chunk.Bytes) == 0
		return chunk, err
	}
}

// errRotated says that a segment went away between finding and reading it.
var errRotated = errors.New("a log segment was rotated away")

func (sb *Sandbox) readLog(offset int64, size int) (LogChunk, error) {
	chunk := LogChunk{Offset: offset}
	root, err := os.OpenRoot(sb.folder.control())
	if err != nil {
		return chunk, err
	}
	defer root.Close()
	list, err := segments(root)
	if err != nil {
		return chunk, err
	}
	for _, s := range list {
		if s.to <= offset {
			continue
		}
		f, _, err := openPlain(root, s.name)
		if errors.Is(err, fs.ErrNotExist) {
			return chunk, errRotated
		}
		if err != nil {
			return chunk, err
		}
		b, err := readWhole(f, s, max(offset, s.from), size)
		if err != nil {
			return chunk, err
		}
		if len(b) > 0 {
			return LogChunk{Offset: max(offset, s.from), Bytes: b}, nil
		}
		// No record, or none that is whole yet. What follows in a later
		// segment is not kept waiting by it.
	}
	return chunk, nil
}

// readWhole reads the whole records of a segment from an offset on, and closes it.
func readWhole(f *os.File, s segment, from int64, size int) ([]byte, error) {
	defer f.Close()
	b := make([]byte, min(int64(size), s.to-from))
	n, err := f.ReadAt(b, from-s.from)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:bytes.LastIndexByte(b[:n], '\n')+1], nil
}

// LogGrown waits until there are records beyond an offset, or the sandbox is
// over, and gives how much was written by then. Its only error is that of ctx.
func (sb *Sandbox) LogGrown(ctx context.Context, offset int64) (int64, error) {
	sub := sb.d.watch.subscribe(sb.folder.control())
	defer sub.close()
	for {
		chunk, err := sb.ReadLog(offset, readerChunk)
		if err != nil || chunk.End || len(chunk.Bytes) > 0 {
			written, _ := sb.logSize()
			return written, nil
		}
		if err := sub.wait(ctx, sb.done); err != nil {
			return offset, err
		}
	}
}

// LogReader reads the log from an offset on and follows it until the sandbox
// is over. Where bytes were not kept it gives a gap record (package tasklog),
// so that offsets stay true. Read's error is io.EOF at the end, that of ctx,
// or of kind ErrNotFound.
func (sb *Sandbox) LogReader(ctx context.Context, offset int64) io.Reader {
	return &logReader{sb: sb, ctx: ctx, next: offset}
}

type logReader struct {
	sb   *Sandbox
	ctx  context.Context
	sub  *subscription // while it waits
	next int64
	left []byte
}

// readerChunk is what a reader takes of the log at once.
const readerChunk = 256 << 10

// Read implements io.Reader.
func (r *logReader) Read(p []byte) (int, error) {
	for len(r.left) == 0 {
		chunk, err := r.sb.ReadLog(r.next, readerChunk)
		switch {
		case err != nil || chunk.End:
			r.unsubscribe()
			return 0, cmp.Or(err, io.EOF)
		case len(chunk.Bytes) == 0:
			if err := r.wait(); err != nil {
				r.unsubscribe()
				return 0, err
			}
			continue
		}
		if gap := chunk.Offset - r.next; gap > 0 {
			r.left = tasklog.AppendGap(nil, gap)
		}
		r.left = append(r.left, chunk.Bytes...)
		r.next = chunk.Offset + int64(len(chunk.Bytes))
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// wait waits for a change. The first time it only subscribes, so that what
// happened just before is not missed.
func (r *logReader) wait() error {
	if r.sub != nil {
		return r.sub.wait(r.ctx, r.sb.done)
	}
	r.sub = r.sb.d.watch.subscribe(r.sb.folder.control())
	context.AfterFunc(r.ctx, r.sub.close) // for a reader that is not read to its end
	return context.Cause(r.ctx)
}

func (r *logReader) unsubscribe() {
	if r.sub != nil {
		r.sub.close()
	}
}
