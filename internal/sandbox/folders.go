package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox/initproto"
)

// folders are a node's folders on the host. Below dir:
//
//	run/LEASE/          the gateway's socket (paths of sockets are short)
//	tasks/LEASE/        all else of one sandbox: input/ program/ control/ task/ task.img sandbox.json
//	templates/          empty file systems to copy
//	settled/LEASE.json  outcomes of sandboxes that are gone
//	bin/                symbi-init, symbi-agent
//	lib/                symbi.py
type folders struct{ dir string }

// leasePattern keeps leases fit for paths and container names.
var leasePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// maxSocketPath is what a Unix socket's address holds (sun_path), less its NUL.
const maxSocketPath = 107

func (f folders) run(l agent.LeaseID) string { return filepath.Join(f.dir, "run", string(l)) }
func (f folders) templates() string          { return filepath.Join(f.dir, "templates") }
func (f folders) bin() string                { return filepath.Join(f.dir, "bin") }
func (f folders) lib() string                { return filepath.Join(f.dir, "lib") }
func (f folders) alive() string              { return filepath.Join(f.dir, "alive") }
func (f folders) settled(l agent.LeaseID) string {
	return filepath.Join(f.dir, "settled", string(l)+".json")
}
func (f folders) task(l agent.LeaseID) taskFolder {
	return taskFolder(filepath.Join(f.dir, "tasks", string(l)))
}
func (f folders) leases() ([]agent.LeaseID, error) {
	return leasesIn(filepath.Join(f.dir, "tasks"), "")
}
func (f folders) settledLeases() ([]agent.LeaseID, error) {
	return leasesIn(filepath.Join(f.dir, "settled"), ".json")
}

// leasesIn lists the leases that a folder has an entry for.
func leasesIn(dir, suffix string) ([]agent.LeaseID, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list what earlier sandboxes left: %w", err)
	}
	var leases []agent.LeaseID
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), suffix); ok && leasePattern.MatchString(name) {
			leases = append(leases, agent.LeaseID(name))
		}
	}
	return leases, nil
}

// make makes the folders that all sandboxes share.
func (f folders) make() error {
	for dir, mode := range map[string]fs.FileMode{
		"run": 0o711, "tasks": 0o700, "templates": 0o700, "settled": 0o700, "bin": 0o755, "lib": 0o755,
	} {
		if err := makeDir(filepath.Join(f.dir, dir), mode); err != nil {
			return agent.Errorf(agent.ErrUnavailable, "make the folders of sandboxes: %w", err)
		}
	}
	return nil
}

// checkLease refuses a lease that cannot name folders, a socket and a container.
func (f folders) checkLease(l agent.LeaseID) error {
	if !leasePattern.MatchString(string(l)) {
		return agent.Errorf(agent.ErrInvalid, "%q is not a lease", l)
	}
	socket := filepath.Join(f.run(l), filepath.Base(initproto.Socket))
	if len(socket) > maxSocketPath {
		return agent.Errorf(agent.ErrInvalid, "the data folder's path is too long: the socket %s has more than %d bytes; use a shorter one",
			socket, maxSocketPath)
	}
	return nil
}

// taskFolder is one sandbox's folder on the host.
type taskFolder string

func (t taskFolder) path(name string) string { return filepath.Join(string(t), name) }
func (t taskFolder) input() string           { return t.path("input") }
func (t taskFolder) program() string         { return t.path("program") }
func (t taskFolder) control() string         { return t.path("control") }
func (t taskFolder) task() string            { return t.path("task") }
func (t taskFolder) image() string           { return t.path("task.img") }
func (t taskFolder) record() string          { return t.path("sandbox.json") }
func (t taskFolder) output() string          { return filepath.Join(t.task(), "output") }

// Sizes of what a sandbox has beside its task folder.
const (
	// controlMB bounds the control folder: the log's kept parts, one segment
	// that rotates, the result, the exit record.
	controlMB     = 16
	controlInodes = 64
)

// makeDirs makes the folder's own directories, before anything is mounted on
// them. The engine wants the sources of mounts to exist when a container is
// created; the task folder's are hidden by its file system later.
func (t taskFolder) makeDirs() error {
	for _, dir := range []string{t.input(), t.program(), t.control(), filepath.Join(t.task(), "tmp")} {
		if err := makeDir(dir, 0o755); err != nil {
			return err
		}
	}
	return makeDir(string(t), 0o700)
}

// mountControl mounts the control folder, in memory.
func (t taskFolder) mountControl() error {
	opts := fmt.Sprintf("size=%dm,nr_inodes=%d,mode=0700,uid=%d,gid=%d", controlMB, controlInodes, initproto.UserID, initproto.UserID)
	err := unix.Mount("symbi", t.control(), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, opts)
	if err != nil {
		return fmt.Errorf("mount a control folder: %w", err)
	}
	return nil
}

// remove unmounts and deletes the folder, whatever state it is in.
func (t taskFolder) remove() error {
	err := errors.Join(unmount(t.control()), unmount(t.task()))
	if err != nil {
		return err // deleting now would delete through a mount
	}
	if err := os.RemoveAll(string(t)); err != nil {
		return fmt.Errorf("remove a sandbox's folder: %w", err)
	}
	return nil
}

// unmount takes every mount off a path. A path that is busy is detached: it
// vanishes from the tree now and is freed when its last reader is done.
func unmount(path string) error {
	for {
		err := unix.Unmount(path, unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EBUSY) {
			err = unix.Unmount(path, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
		}
		switch {
		case err == nil:
			continue // there may be another below it
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
			return nil // not mounted
		}
		return fmt.Errorf("unmount %s: %w", path, err)
	}
}

// writeJSON writes a file whole or not at all. It need not outlive the
// machine: containers do not either.
func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return os.Rename(path+".new", path)
}

// readJSON reads a file of our own.
func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
