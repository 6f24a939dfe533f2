package main

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// tailParts is how many segments the kept end of a log is cut into: the
	// folder holds at most head + tail + 2 tail/tailParts bytes of log.
	tailParts = 4
	// minSegment holds the longest record many times over.
	minSegment = 64 << 10
	// retryAfter is how long a folder that takes no more is left alone.
	retryAfter = 100 * time.Millisecond
)

// segment is one file of the log that is no longer written to.
type segment struct{ start, size int64 }

// logFile is the log of a program: a stream of records in segment files, of
// which the beginning and the end are kept. What cannot be written is counted
// as dropped; nothing that happens to the folder stops the program.
type logFile struct {
	prefix string // of the segments' paths
	head   int64  // the first segment's limit
	tail   int64  // what the later ones keep at least

	mu       sync.Mutex
	offset   int64 // of the next record
	dropped  int64
	file     *os.File // the segment being written, nil when there is none
	start    int64    // its offset
	size     int64
	headDone bool
	closed   []segment // after the first, oldest first
	idle     time.Time // no attempt to write before this
}

func newLogFile(prefix string, head, tail int64) *logFile {
	return &logFile{prefix: prefix, head: max(head, minSegment), tail: max(tail, minSegment)}
}

// write appends whole records.
func (l *logFile) write(records []byte, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(records) > 0 {
		n := l.fit(records)
		if n == 0 {
			l.rotate()
			continue
		}
		l.put(records[:n], at)
		records = records[n:]
	}
}

// fit gives the length of the records that the segment still takes.
func (l *logFile) fit(records []byte) int {
	limit := l.head
	if l.headDone {
		limit = max(l.tail/tailParts, minSegment)
	}
	room := max(limit-l.size, 0)
	if int64(len(records)) <= room {
		return len(records)
	}
	return bytes.LastIndexByte(records[:room], '\n') + 1
}

// put writes records to the segment, or drops them.
func (l *logFile) put(records []byte, at time.Time) {
	n := int64(len(records))
	kept := false
	if !at.Before(l.idle) {
		kept = l.append(records)
		for !kept && l.forgetOldest() {
			kept = l.append(records)
		}
		if !kept {
			l.idle = at.Add(retryAfter)
		}
	}
	l.offset += n
	if kept {
		l.size += n
		return
	}
	l.dropped += n
	l.rotate() // the next record that is kept begins a segment after the gap
}

// append writes records at the end of the segment, all or none.
func (l *logFile) append(records []byte) bool {
	if l.file == nil && !l.open() {
		return false
	}
	if _, err := l.file.Write(records); err == nil {
		return true
	}
	if err := l.file.Truncate(l.size); err == nil {
		_, err = l.file.Seek(l.size, 0)
		if err == nil {
			return false
		}
	}
	// What was written of a record cannot be taken back: the segment goes.
	l.dropped += l.size
	l.discard()
	return false
}

// open begins the segment. A program may have put something in its place.
func (l *logFile) open() bool {
	name := l.name(l.offset)
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL | syscall.O_NOFOLLOW
	f, err := os.OpenFile(name, flags, 0o644)
	if errors.Is(err, os.ErrExist) && os.RemoveAll(name) == nil {
		f, err = os.OpenFile(name, flags, 0o644)
	}
	if err != nil {
		return false
	}
	l.file, l.start, l.size = f, l.offset, 0
	return true
}

// rotate ends the segment, and forgets those that the kept end no longer needs.
func (l *logFile) rotate() {
	if l.file != nil {
		switch {
		case l.size == 0:
			l.discard()
		case l.headDone:
			l.closed = append(l.closed, segment{l.start, l.size})
			fallthrough
		default:
			_ = l.file.Close() // it is in memory; there is nothing to flush
		}
	}
	l.file, l.size, l.headDone = nil, 0, true
	var kept int64
	for _, s := range l.closed {
		kept += s.size
	}
	for len(l.closed) > 0 && kept-l.closed[0].size >= l.tail {
		kept -= l.closed[0].size
		l.forgetOldest()
	}
}

// forgetOldest removes the oldest segment after the first, to make room.
func (l *logFile) forgetOldest() bool {
	if len(l.closed) == 0 {
		return false
	}
	_ = os.RemoveAll(l.name(l.closed[0].start)) // if it stays, the bound of the folder holds all the same
	l.dropped += l.closed[0].size
	l.closed = l.closed[1:]
	return true
}

// discard removes the segment that is being written.
func (l *logFile) discard() {
	_ = l.file.Close()
	_ = os.RemoveAll(l.name(l.start))
	l.file, l.size = nil, 0
}

// close ends the log and gives its length and how much of it was not kept.
func (l *logFile) close() (written, dropped int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rotate()
	return l.offset, l.dropped
}

// written gives the log's length so far.
func (l *logFile) written() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.offset
}

func (l *logFile) name(offset int64) string { return l.prefix + strconv.FormatInt(offset, 10) }
