package e2e

import (
	"os"
	"os/exec"
	"strings"
	"time"
)

// containers lists the containers of a task, running or not.
func (d *dev) containers(task string) []string {
	d.t.Helper()
	out, err := exec.Command("docker", "ps", "-aq", "--no-trunc", "--filter", "label=dev.symbi.task="+task).Output()
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
