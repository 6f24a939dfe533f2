package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// containers lists the containers of a task, running or not.
func (d *dev) containers(task string) []string {
	d.t.Helper()
	out, err := exec.Command("docker", "ps", "-aq", "--no-trunc", "--filter", "label=dev.symbi.task=default/"+task).Output()
	if err != nil {
		d.t.Fatalf("ask the engine: %v", err)
	}
	return strings.Fields(string(out))
}

// nothingLeft checks that a task that is over left no container and no mount.
func (d *dev) nothingLeft(task string) {
	d.t.Helper()
	deadline := time.Now().Add(upWait)
	for {
		left := d.containers(task)
		mounts := d.mounts()
		if len(left) == 0 && !strings.Contains(mounts, task) {
			return
		}
		if time.Now().After(deadline) {
			d.t.Errorf("task %s left containers %v", task, left)
			return
		}
		<-time.After(pollTime)
	}
}

// mounts lists what is mounted below the data folder.
func (d *dev) mounts() string {
	d.t.Helper()
	all, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		d.t.Fatal(err)
	}
	var ours []string
	for line := range strings.Lines(string(all)) {
		if strings.Contains(line, d.data) {
			ours = append(ours, line)
		}
	}
	return strings.Join(ours, "")
}

// cpuTime is the CPU time of a container in nanoseconds, from the kernel's
// accounts of either cgroup version.
func cpuTime(t *testing.T, container string) int64 {
	t.Helper()
	if b, err := os.ReadFile("/sys/fs/cgroup/cpuacct/docker/" + container + "/cpuacct.usage"); err == nil {
		n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, dir := range []string{"/sys/fs/cgroup/system.slice/docker-" + container + ".scope", "/sys/fs/cgroup/docker/" + container} {
		b, err := os.ReadFile(dir + "/cpu.stat")
		if err != nil {
			continue
		}
		var usec int64
		if _, err := fmt.Sscanf(string(b), "usage_usec %d", &usec); err != nil {
			t.Fatal(err)
		}
		return usec * 1000
	}
	t.Fatal("the kernel's accounts of the container are not where they are known to be")
	return 0
}
