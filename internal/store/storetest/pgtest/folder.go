package pgtest

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// folder is a server's folder. Its lock file is locked for as long as the
// process lives: one that nobody has locked was left by a test binary that was
// killed, and is removed by the next.
type folder struct {
	path string
	lock *os.File
}

const (
	folderPattern = "symbi-pg-*"
	lockName      = "lock"
)

// makeFolder makes a server's folder: short, because a socket's path has 108
// bytes, and in memory unless it is to be durable.
func makeFolder(o Options, owner *syscall.Credential) (*folder, error) {
	parent := os.TempDir()
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err == nil && info.IsDir() && !o.Durable {
		parent = memory
	}
	removeLeft(parent)
	path, err := os.MkdirTemp(parent, folderPattern)
	if err != nil {
		return nil, err
	}
	f := &folder{path: path}
	if err := f.claim(owner); err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	return f, nil
}

// claim locks the folder and gives it to its owner. The lock file gets its
// name once it is locked, so that nobody takes the folder for one that was left.
func (f *folder) claim(owner *syscall.Credential) (err error) {
	unnamed := filepath.Join(f.path, lockName+".new")
	if f.lock, err = os.OpenFile(unnamed, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	if err := syscall.Flock(int(f.lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	if err := os.Rename(unnamed, filepath.Join(f.path, lockName)); err != nil {
		return err
	}
	if owner == nil {
		return nil
	}
	return os.Chown(f.path, int(owner.Uid), int(owner.Gid))
}

// remove removes the folder.
func (f *folder) remove() error { return errors.Join(os.RemoveAll(f.path), f.lock.Close()) }

// removeLeft removes what killed test binaries left, as far as it may.
func removeLeft(parent string) {
	locks, err := filepath.Glob(filepath.Join(parent, folderPattern, lockName))
	if err != nil {
		return
	}
	for _, path := range locks {
		lock, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			// Another's folder may not be removable; it harms nothing.
			_ = os.RemoveAll(filepath.Dir(path))
		}
		_ = lock.Close()
	}
}
