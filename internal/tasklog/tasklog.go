// Package tasklog reads the log of a task: a stream of records as init wrote
// them in the sandbox (initproto has the format), asked for by offset. An
// offset counts every byte that was ever written; where bytes were not kept,
// the stored stream has a gap record of our own instead of them, so that
// offsets stay true after the task has ended.
package tasklog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Record is one line of a program's output, or a gap.
type Record struct {
	At      time.Time
	Stderr  bool
	Partial bool   // the line goes on in the stream's next record
	Text    []byte // the program's own bytes, without the newline
	Gap     int64  // bytes that were not kept; then the rest is zero
	Next    int64  // offset of the record after this one
}

// Letters of the streams, as initproto has them, and the gap's.
const (
	letterOut     = 'o'
	letterErr     = 'e'
	letterOutPart = 'O'
	letterErrPart = 'E'
	letterGap     = 'g'
)

// maxRecord bounds a line: init splits longer ones, so that whatever is longer
// is no record.
const maxRecord = 64 << 10

// AppendGap appends the record that stands for n bytes that were not kept.
func AppendGap(b []byte, n int64) []byte { return fmt.Appendf(b, "0 %c %d\n", letterGap, n) }

// Reader reads records one by one.
type Reader struct {
	r    *bufio.Reader
	next int64
}

// NewReader reads a stream whose first byte has the given offset.
func NewReader(r io.Reader, offset int64) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, maxRecord), next: offset}
}

// Read gives the next record, io.EOF at the end. A last line without its
// newline is not a record yet; it is left for whoever reads on from Offset.
func (r *Reader) Read() (Record, error) {
	line, err := r.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return Record{}, fmt.Errorf("read a log: no line ends within %d bytes of offset %d", maxRecord, r.next)
	}
	if err != nil {
		return Record{}, err
	}
	rec, err := parse(line[:len(line)-1])
	if err != nil {
		return Record{}, fmt.Errorf("read a log at offset %d: %w", r.next, err)
	}
	if rec.Gap > 0 {
		r.next += rec.Gap
	} else {
		r.next += int64(len(line))
	}
	rec.Next = r.next
	return rec, nil
}

// Offset is where the next record begins.
func (r *Reader) Offset() int64 { return r.next }

// parse reads one line without its newline.
func parse(line []byte) (Record, error) {
	stamp, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok || len(rest) < 2 || rest[1] != ' ' {
		return Record{}, errors.New("a line is not a record")
	}
	micros, err := strconv.ParseInt(string(stamp), 10, 64)
	if err != nil {
		return Record{}, fmt.Errorf("a record's time: %w", err)
	}
	rec := Record{At: time.UnixMicro(micros).UTC(), Text: bytes.Clone(rest[2:])}
	switch rest[0] {
	case letterOut:
	case letterErr:
		rec.Stderr = true
	case letterOutPart:
		rec.Partial = true
	case letterErrPart:
		rec.Stderr, rec.Partial = true, true
	case letterGap:
		n, err := strconv.ParseInt(string(rec.Text), 10, 64)
		if err != nil || n <= 0 {
			return Record{}, errors.New("a gap's size is not a number")
		}
		return Record{Gap: n}, nil
	default:
		return Record{}, fmt.Errorf("%q is not a stream", rest[0])
	}
	return rec, nil
}
