package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/sys/unix"
)

// A task folder is an ext4 file system of its own in a sparse file, because a
// folder of the host has no bound on its bytes and files. Making one takes
// mkfs 30 ms and more; so an empty one of each size is kept and copied, which
// takes about one.
type loopFS struct {
	templates string // folder
	making    singleflight.Group
}

// What a task folder's file system is made of.
const (
	// minScratchMB is what ext4 needs to be of use.
	minScratchMB = 8
	// One file a 16 KiB of room, as mkfs has it, within bounds: few files fit
	// into little room, and a million help nobody.
	bytesPerFile = 16 << 10
	minFiles     = 4096
	maxFiles     = 262_144
	inodeBytes   = 256
	// keptTemplates bounds the sizes that are kept ready; each takes under 1 MB of disk.
	keptTemplates = 64
)

// mkfsTool makes the file systems; part of e2fsprogs.
const mkfsTool = "mkfs.ext4"

// size gives a file system's bytes and files, for scratchMB of room to the
// program: the tables of ext4 come on top.
func (l *loopFS) size(scratchMB int64) (bytes, files int64) {
	room := max(scratchMB, minScratchMB) << 20
	files = min(max(room/bytesPerFile, minFiles), maxFiles)
	const tables = 1 << 20
	return room + files*inodeBytes + tables + room/1024, files
}

// loopDevice is a file system that is attached and not mounted yet.
type loopDevice struct {
	file *os.File // detaches itself when this is closed and nothing mounts it
	loopStart
}

// loopStart is a device and what it had read and written for others before.
type loopStart struct {
	Name    string `json:"name"` // loop0
	Read    int64  `json:"read"` // bytes
	Written int64  `json:"written"`
}

// attach makes a new file system in the file image. In it are output, work and
// tmp, which belong to the program.
func (l *loopFS) attach(ctx context.Context, image string, scratchMB int64) (*loopDevice, error) {
	template, err := l.template(ctx, scratchMB)
	if err != nil {
		return nil, err
	}
	if err := copySparse(template, image); err != nil {
		return nil, fmt.Errorf("copy an empty file system: %w", err)
	}
	file, err := attachLoop(image)
	if err != nil {
		return nil, err
	}
	d := &loopDevice{file: file, loopStart: loopStart{Name: filepath.Base(file.Name())}}
	d.Read, d.Written = loopStart{Name: d.Name}.moved()
	return d, nil
}

// mount mounts the file system at dir.
func (d *loopDevice) mount(dir string) error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOATIME
	if err := unix.Mount(d.file.Name(), dir, "ext4", flags, "noinit_itable,errors=remount-ro"); err != nil {
		return fmt.Errorf("mount a task folder: %w", err)
	}
	return nil
}

func (d *loopDevice) close() { _ = d.file.Close() }

// moved gives the bytes that were read and written through the device since
// it was attached.
func (s loopStart) moved() (read, written int64) {
	text, err := os.ReadFile("/sys/block/" + s.Name + "/stat")
	f := strings.Fields(string(text))
	if err != nil || len(f) < 7 {
		return 0, 0
	}
	// Sectors of 512 bytes, whatever the device's (block/stat.rst).
	r, _ := strconv.ParseInt(f[2], 10, 64)
	w, _ := strconv.ParseInt(f[6], 10, 64)
	return max(r*512-s.Read, 0), max(w*512-s.Written, 0)
}

// template gives the empty file system of a size, made when first asked for.
func (l *loopFS) template(ctx context.Context, scratchMB int64) (string, error) {
	bytes, files := l.size(scratchMB)
	path := filepath.Join(l.templates, fmt.Sprintf("ext4-%d-%d.img", bytes, files))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	_, err, _ := l.making.Do(path, func() (any, error) {
		if _, err := os.Stat(path); err == nil {
			return nil, nil
		}
		l.prune()
		return nil, l.makeTemplate(ctx, path, bytes, files)
	})
	return path, err
}

// makeTemplate makes a file system and gives it its name last.
func (l *loopFS) makeTemplate(ctx context.Context, path string, bytes, files int64) error {
	tree, err := os.MkdirTemp(l.templates, "tree-")
	if err != nil {
		return fmt.Errorf("make an empty file system: %w", err)
	}
	defer os.RemoveAll(tree)
	for name, mode := range map[string]os.FileMode{"output": 0o755, "work": 0o755, "tmp": 0o777 | os.ModeSticky} {
		if err := makeOwned(filepath.Join(tree, name), mode); err != nil {
			return fmt.Errorf("make an empty file system: %w", err)
		}
	}
	if err := os.Chmod(tree, 0o755); err != nil {
		return fmt.Errorf("make an empty file system: %w", err)
	}
	image := tree + ".img"
	defer os.Remove(image)
	f, err := os.OpenFile(image, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make an empty file system: %w", err)
	}
	if err := errors.Join(f.Truncate(bytes), f.Close()); err != nil {
		return fmt.Errorf("make an empty file system: %w", err)
	}
	// No journal: the folder is not needed after a crash of the machine. No
	// blocks for root, no room to grow.
	cmd := exec.CommandContext(ctx, mkfsTool, "-q", "-F", "-b", "4096", "-m", "0", "-N", fmt.Sprint(files),
		"-O", "^has_journal,^resize_inode", "-E", "lazy_itable_init=1,nodiscard,root_owner=0:0", "-d", tree, image)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	cmd.Path = findTool(mkfsTool)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make an empty file system with %s: %w: %s", mkfsTool, err, strings.TrimSpace(string(out)))
	}
	return os.Rename(image, path)
}

// prune drops the oldest templates when there are many.
func (l *loopFS) prune() {
	entries, err := os.ReadDir(l.templates)
	if err != nil || len(entries) < keptTemplates {
		return
	}
	oldest, at := "", time.Time{}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && !e.IsDir() && (oldest == "" || info.ModTime().Before(at)) {
			oldest, at = e.Name(), info.ModTime()
		}
	}
	// A copy under way has it open and is not disturbed.
	_ = os.Remove(filepath.Join(l.templates, oldest))
}

// findTool finds a program of the system, also where PATH lacks sbin.
func findTool(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return name
}

// copySparse copies a file with its holes.
func copySparse(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(out.Truncate(info.Size()), copyExtents(in, out, info.Size()))
	return errors.Join(err, out.Close())
}

// copyExtents copies what is not a hole.
func copyExtents(in, out *os.File, size int64) error {
	for at := int64(0); at < size; {
		from, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // only holes follow
		}
		if err != nil {
			return err
		}
		to, err := unix.Seek(int(in.Fd()), from, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, from), io.NewSectionReader(in, from, to-from)); err != nil {
			return err
		}
		at = to
	}
	return nil
}

// loopAttempts bounds the race for a free loop device with others who want one.
const loopAttempts = 64

// attachLoop attaches a file to a free loop device, which detaches itself when
// nobody has it open or mounted any more.
func attachLoop(image string) (*os.File, error) {
	backing, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("attach a loop device: %w", err)
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("attach a loop device: %w; load the module loop, or let the worker reach /dev/loop-control", err)
	}
	defer control.Close()
	for range loopAttempts {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find a free loop device: %w", err)
		}
		device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		if err != nil {
			return nil, fmt.Errorf("attach a loop device: %w", err)
		}
		config := unix.LoopConfig{Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
		err = unix.IoctlLoopConfigure(int(device.Fd()), &config)
		if err == nil {
			return device, nil
		}
		err = errors.Join(err, device.Close())
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("attach a loop device: %w", err)
		}
	}
	return nil, fmt.Errorf("attach a loop device: others took every free one, %d times", loopAttempts)
}
