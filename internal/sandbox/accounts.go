package sandbox

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// accounts are the kernel's counts of what a container has used so far.
type accounts struct {
	CPU        time.Duration `json:"cpu"`
	Throttled  time.Duration `json:"throttled"`
	PeakMemory int64         `json:"peak_memory"` // bytes
	Read       int64         `json:"read"`        // bytes, from disks and the task folder's device
	Written    int64         `json:"written"`     // bytes, to them, what waits to be written included
	OOMKills   int64         `json:"oom_kills"`
	NoProcess  int64         `json:"no_process"` // times that the limit on processes was met
}

// cgroup is where the kernel keeps a container's accounts. It is gone with the
// container's last process.
type cgroup struct {
	v2   bool
	path map[string]string // by controller; "" in version 2
	loop loopStart         // the task folder's device
}

// cgroupRoot is where every system mounts it.
const cgroupRoot = "/sys/fs/cgroup"

// cgroup finds the accounts of a process whose task folder lies on a device.
func (p *process) cgroup(loop loopStart) (*cgroup, error) {
	text, err := os.ReadFile(p.path("cgroup"))
	if err != nil {
		return nil, fmt.Errorf("find a container's accounts: %w", err)
	}
	g := &cgroup{path: map[string]string{}, loop: loop}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for c := range strings.SplitSeq(parts[1], ",") {
			g.path[c] = filepath.Join(cgroupRoot, c, parts[2])
		}
	}
	if _, v1 := g.path["memory"]; !v1 {
		g.v2 = true
		if _, err := os.Stat(filepath.Join(g.path[""], "memory.events")); err != nil {
			return nil, fmt.Errorf("find a container's accounts: %w", err)
		}
	}
	return g, nil
}

// read gives the accounts. A file that cannot be read leaves its count as it
// was in before, which also is what is left once the container is gone.
func (g *cgroup) read(before accounts) accounts {
	if g.v2 {
		return g.readV2(before)
	}
	return g.readV1(before)
}

func (g *cgroup) readV1(a accounts) accounts {
	number(g.path["cpuacct"], "cpuacct.usage", (*int64)(&a.CPU))
	number(g.path["memory"], "memory.max_usage_in_bytes", &a.PeakMemory)
	for key, value := range fields(g.path["cpu"], "cpu.stat") {
		if key == "throttled_time" {
			a.Throttled = time.Duration(value)
		}
	}
	for key, value := range fields(g.path["memory"], oomControl) {
		if key == "oom_kill" {
			a.OOMKills = max(a.OOMKills, value)
		}
	}
	a.NoProcess = max(a.NoProcess, fields(g.path["pids"], "pids.events")["max"])
	stat := fields(g.path["memory"], "memory.stat")
	read, written := diskV1(g.path["blkio"])
	return g.disk(a, read, written+stat["dirty"]+stat["writeback"])
}

func (g *cgroup) readV2(a accounts) accounts {
	dir := g.path[""]
	for key, value := range fields(dir, "cpu.stat") {
		switch key {
		case "usage_usec":
			a.CPU = time.Duration(value) * time.Microsecond
		case "throttled_usec":
			a.Throttled = time.Duration(value) * time.Microsecond
		}
	}
	var now int64
	number(dir, "memory.current", &now)
	a.PeakMemory = max(a.PeakMemory, now)
	number(dir, "memory.peak", &a.PeakMemory) // from Linux 5.19 on
	a.OOMKills = max(a.OOMKills, fields(dir, "memory.events")["oom_kill"])
	a.NoProcess = max(a.NoProcess, fields(dir, "pids.events")["max"])
	stat := fields(dir, "memory.stat")
	read, written := diskV2(dir)
	return g.disk(a, read, written+stat["file_dirty"]+stat["file_writeback"])
}

// disk adds what went through the task folder's device. The kernel does not
// count it with the container, for most of it is written later, by others.
func (g *cgroup) disk(a accounts, read, written int64) accounts {
	r, w := g.loop.moved()
	a.Read, a.Written = max(a.Read, read+r), max(a.Written, written+w)
	return a
}

// number reads a file that is one number.
func number(dir, name string, into *int64) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return
	}
	if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
		*into = n
	}
}

// fields reads a file of lines "key number".
func fields(dir, name string) map[string]int64 {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil
	}
	m := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			m[key] = n
		}
	}
	return m
}

// loopMajor is the device number of loop devices, which are counted apart.
const loopMajor = "7:"

// diskV1 adds up lines "major:minor Read bytes".
func diskV1(dir string) (read, written int64) {
	text, err := os.ReadFile(filepath.Join(dir, "blkio.throttle.io_service_bytes"))
	if err != nil {
		return 0, 0
	}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) != 3 || strings.HasPrefix(f[0], loopMajor) {
			continue
		}
		n, _ := strconv.ParseInt(f[2], 10, 64)
		switch f[1] {
		case "Read":
			read += n
		case "Write":
			written += n
		}
	}
	return read, written
}

// diskV2 adds up lines "major:minor rbytes=n wbytes=n …".
func diskV2(dir string) (read, written int64) {
	text, err := os.ReadFile(filepath.Join(dir, "io.stat"))
	if err != nil {
		return 0, 0
	}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) == 0 || strings.HasPrefix(f[0], loopMajor) {
			continue
		}
		for _, kv := range f[1:] {
			key, value, _ := strings.Cut(kv, "=")
			n, _ := strconv.ParseInt(value, 10, 64)
			switch key {
			case "rbytes":
				read += n
			case "wbytes":
				written += n
			}
		}
	}
	return read, written
}
