package sandbox

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watch tells followers that something in a folder changed. All folders share
// one inotify instance, of which a user has few, and a folder is watched only
// while somebody follows. Where inotify is not to be had followers poll.
type watch struct {
	mu   sync.Mutex
	subs map[string]map[*subscription]bool // by folder
	fs   *fsnotify.Watcher
	poll time.Duration // how often a follower looks whether it is told of changes or not
}

// watchPoll is how often that is: rarely, for where the kernel does not tell.
const watchPoll = time.Second

// subscription is one follower of one folder.
type subscription struct {
	changed chan struct{} // has one element after a change
	dir     string
	watch   *watch
}

func newWatch() *watch {
	w := &watch{subs: map[string]map[*subscription]bool{}, poll: watchPoll}
	if fs, err := fsnotify.NewWatcher(); err == nil {
		w.fs = fs
	}
	return w
}

// run passes on what the kernel tells, until ctx is done.
func (w *watch) run(ctx context.Context) {
	if w.fs == nil {
		return
	}
	defer w.fs.Close()
	for {
		select {
		case e := <-w.fs.Events:
			w.wake(filepath.Dir(e.Name))
		case <-w.fs.Errors: // events were lost; followers look by themselves now and then
		case <-ctx.Done():
			return
		}
	}
}

// wake tells the followers of a folder.
func (w *watch) wake(dir string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.subs[dir] {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
}

// subscribe follows a folder, which may not be there yet.
func (w *watch) subscribe(dir string) *subscription {
	s := &subscription{changed: make(chan struct{}, 1), dir: dir, watch: w}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.subs[dir] == nil {
		w.subs[dir] = map[*subscription]bool{}
		if w.fs != nil {
			_ = w.fs.Add(dir) // without it the follower polls
		}
	}
	w.subs[dir][s] = true
	return s
}

// mounted tells that something was mounted over a folder, so that whoever
// follows it follows what lies there now.
func (w *watch) mounted(dir string) {
	w.mu.Lock()
	if len(w.subs[dir]) > 0 && w.fs != nil {
		_ = w.fs.Remove(dir)
		_ = w.fs.Add(dir)
	}
	w.mu.Unlock()
	w.wake(dir)
}

// wait waits for a change, for done, or for so long that one may have been
// missed. Its only error is that of ctx.
func (s *subscription) wait(ctx context.Context, done <-chan struct{}) error {
	poll := time.NewTimer(s.watch.poll)
	defer poll.Stop()
	select {
	case <-s.changed:
	case <-done:
	case <-poll.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// close ends the following. Closing twice is no error.
func (s *subscription) close() {
	w := s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.subs[s.dir][s] {
		return
	}
	delete(w.subs[s.dir], s)
	if len(w.subs[s.dir]) == 0 {
		delete(w.subs, s.dir)
		if w.fs != nil {
			_ = w.fs.Remove(s.dir)
		}
	}
}
