package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// host is what the driver found out about its machine.
type host struct {
	cpus     int      // that the engine may give
	disks    []string // block devices to throttle, as paths; none where a file system has no device of its own
	cgroupV2 bool
}

// diskOf gives the block device below a path, as a path in /dev: the whole
// disk where it is a partition, because the kernel throttles only those.
func diskOf(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", fmt.Errorf("find the disk of %s: %w", path, err)
	}
	if unix.Major(st.Dev) == 0 {
		return "", fmt.Errorf("find the disk of %s: its file system has no block device of its own", path)
	}
	dir, err := filepath.EvalSymlinks(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		return "", fmt.Errorf("find the disk of %s: %w", path, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		dir = filepath.Dir(dir)
	}
	uevent, err := os.ReadFile(filepath.Join(dir, "uevent"))
	if err != nil {
		return "", fmt.Errorf("find the disk of %s: %w", path, err)
	}
	for line := range strings.Lines(string(uevent)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVNAME="); ok {
			return "/dev/" + name, nil
		}
	}
	return "", errors.New("find the disk of " + path + ": the kernel does not name it")
}

// disksOf gives the disks of several paths, each once, leaving out those
// without one.
func disksOf(paths ...string) []string {
	var disks []string
	for _, p := range paths {
		if disk, err := diskOf(p); err == nil && !slices.Contains(disks, disk) {
			disks = append(disks, disk)
		}
	}
	return disks
}
