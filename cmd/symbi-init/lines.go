package main

import (
	"bytes"
	"strconv"
	"time"

	"symbi.dev/symbi/internal/sandbox/initproto"
)

// lines cuts one stream of a program's output into records.
type lines struct {
	whole, part byte   // the stream's letters
	pending     []byte // of the line that is not complete yet; at most MaxLineBytes
	open        bool   // part of the line is in a record already
	batch       []byte // records made of what was fed last
}

func newLines(whole, part byte) *lines {
	return &lines{whole: whole, part: part, pending: make([]byte, 0, initproto.MaxLineBytes)}
}

// feed takes what was read and gives the records that are complete by it; they
// are good until the next call.
func (l *lines) feed(p []byte, at time.Time) []byte {
	l.batch = l.batch[:0]
	stamp := strconv.AppendInt(nil, at.UnixMicro(), 10)
	stamp = append(stamp, ' ')
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		line := p
		if end >= 0 {
			line = p[:end]
		}
		for len(l.pending)+len(line) > initproto.MaxLineBytes {
			n := initproto.MaxLineBytes - len(l.pending)
			l.emit(stamp, l.part, line[:n])
			l.open, line = true, line[n:]
		}
		if end < 0 {
			l.pending = append(l.pending, line...)
			break
		}
		l.emit(stamp, l.whole, line)
		l.open, p = false, p[end+1:]
	}
	return l.batch
}

// emit writes a record of what is pending and more.
func (l *lines) emit(stamp []byte, letter byte, more []byte) {
	l.batch = append(l.batch, stamp...)
	l.batch = append(l.batch, letter, ' ')
	l.batch = append(l.batch, l.pending...)
	l.batch = append(l.batch, more...)
	l.batch = append(l.batch, '\n')
	l.pending = l.pending[:0]
}

// waiting reports whether the beginning of a line waits for its end.
func (l *lines) waiting() bool { return len(l.pending) > 0 }

// flush gives the record of a line that may go on.
func (l *lines) flush(at time.Time) []byte {
	l.batch = l.batch[:0]
	if l.waiting() {
		l.emit(append(strconv.AppendInt(nil, at.UnixMicro(), 10), ' '), l.part, nil)
		l.open = true
	}
	return l.batch
}

// finish gives the record that ends an unfinished line, at the stream's end.
func (l *lines) finish(at time.Time) []byte {
	l.batch = l.batch[:0]
	if l.waiting() || l.open {
		l.emit(append(strconv.AppendInt(nil, at.UnixMicro(), 10), ' '), l.whole, nil)
		l.open = false
	}
	return l.batch
}
