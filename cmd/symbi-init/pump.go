package main

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// flushAfter is how long the beginning of a line waits for its end before
	// whoever follows gets to see it: a prompt, a row of dots.
	flushAfter = 100 * time.Millisecond
	readBytes  = 64 << 10 // what a pipe holds by default
)

// pump carries one stream from its pipe to the log until the pipe's other
// ends are closed, or this one is.
func pump(pipe *os.File, l *lines, log *logFile) {
	buf := make([]byte, readBytes)
	timed := false
	for {
		n, err := pipe.Read(buf)
		now := time.Now()
		if n > 0 {
			log.write(l.feed(buf[:n], now), now)
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			log.write(l.flush(now), now)
		case err != nil:
			log.write(l.finish(now), now)
			return
		}
		if l.waiting() || timed {
			var deadline time.Time
			if timed = l.waiting(); timed {
				deadline = now.Add(flushAfter)
			}
			_ = pipe.SetReadDeadline(deadline) // it fails on a closed pipe, and so will the next read
		}
	}
}

// output is the host's end of a program's stdout and stderr.
type output struct {
	pipes [2]*os.File
	ends  [2]int // the program's, until it has them
	pumps sync.WaitGroup
	log   *logFile
}

// openOutput makes the pipes.
func openOutput(log *logFile) (*output, error) {
	o := &output{log: log}
	for i, name := range []string{"stdout", "stderr"} {
		var fds [2]int
		err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC)
		if err == nil {
			err = syscall.SetNonblock(fds[0], true) // this end only: programs expect to be made to wait
		}
		if err != nil {
			return nil, os.NewSyscallError("make a pipe for "+name, err)
		}
		o.pipes[i], o.ends[i] = os.NewFile(uintptr(fds[0]), name), fds[1]
	}
	return o, nil
}

// start begins to read; the program has its ends by now.
func (o *output) start(letters [2][2]byte) {
	for i, pipe := range o.pipes {
		_ = syscall.Close(o.ends[i])
		l := newLines(letters[i][0], letters[i][1])
		o.pumps.Go(func() { pump(pipe, l, o.log) })
	}
}

// drain waits until all output is read, at most for a while: whoever still
// holds a pipe cannot keep it.
func (o *output) drain(atMost time.Duration) {
	done := make(chan struct{})
	go func() {
		o.pumps.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(atMost):
		for _, pipe := range o.pipes {
			_ = pipe.Close() // ends its pump
		}
		<-done
	}
}
