package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"symbi.dev/symbi/agent"
)

// folder is the data folder of `symbi dev`: all of its state.
type folder struct {
	dir  string
	lock *os.File
}

// layoutVersion is the layout of the folder that this binary writes. A folder
// with a higher one was written by a newer binary and is refused.
const layoutVersion = 1

// openFolder takes a data folder for this process alone.
func openFolder(dir string) (*folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the data folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, agent.Errorf(agent.ErrUnavailable, "make the data folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, agent.Errorf(agent.ErrUnavailable, "open the data folder: %w", err)
	}
	f := &folder{dir: dir, lock: lock}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(f.taken(), lock.Close())
	}
	if err := f.claim(); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// taken says which process has the folder.
func (f *folder) taken() error {
	who := "another process"
	if pid, err := os.ReadFile(f.lock.Name()); err == nil && len(pid) > 0 {
		who = "process " + strings.TrimSpace(string(pid))
	}
	return agent.Errorf(agent.ErrConflict, "%s uses the data folder %s; stop it, or choose another folder with --data", who, f.dir)
}

// claim writes who has the folder, and checks its layout.
func (f *folder) claim() error {
	if err := f.lock.Truncate(0); err != nil {
		return fmt.Errorf("claim the data folder: %w", err)
	}
	if _, err := f.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("claim the data folder: %w", err)
	}
	path := f.path("version")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return os.WriteFile(path, []byte(strconv.Itoa(layoutVersion)+"\n"), 0o600)
	}
	if err != nil {
		return fmt.Errorf("read the data folder's version: %w", err)
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return agent.Errorf(agent.ErrInvalid, "%s holds no version; is %s a data folder of Symbi?", path, f.dir)
	}
	if version > layoutVersion {
		return agent.Errorf(agent.ErrConflict,
			"the data folder %s was written by a newer symbi (layout %d, this one knows %d); use that one, or another folder", f.dir, version, layoutVersion)
	}
	return nil
}

// path is a place in the folder.
func (f *folder) path(name ...string) string {
	return filepath.Join(append([]string{f.dir}, name...)...)
}

// close gives the folder back.
func (f *folder) close() error { return f.lock.Close() }
