package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// starts counts the containers that the engine itself says it started, by task.
type starts struct {
	mu     sync.Mutex
	byTask map[string]int
}

// watchStarts listens to the engine's events until the test is over.
func watchStarts(t *testing.T) *starts {
	t.Helper()
	s := &starts{byTask: map[string]int{}}
	cmd := exec.Command("docker", "events", "--filter", "event=start", "--filter", "type=container",
		"--format", `{{index .Actor.Attributes "dev.symbi.task"}}`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("listen to the engine: %v", err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			s.mu.Lock()
			s.byTask[strings.TrimPrefix(lines.Text(), "default/")]++
			s.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		reading.Wait()
		_ = cmd.Wait()
	})
	return s
}

func (s *starts) of(task string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byTask[task]
}

// counting is a program that counts, a line a tenth of a second.
func counting(to int) string {
	return fmt.Sprintf("i=0; while [ $i -lt %d ]; do i=$((i+1)); echo $i; sleep 0.1; done\necho '{\"counted\": true}' > $SYMBI_RESULT\n", to)
}

// wholeCount checks that a log has every number once, in order.
func wholeCount(t *testing.T, log string, to int) {
	t.Helper()
	lines := strings.Fields(log)
	if len(lines) != to {
		t.Errorf("the log has %d lines, want %d: …%s", len(lines), to, strings.Join(lines[max(0, len(lines)-3):], " "))
		return
	}
	for i, line := range lines {
		if line != fmt.Sprint(i+1) {
			t.Errorf("line %d is %q", i+1, line)
			return
		}
	}
}

// TestKillingDevLosesNothing kills the process while three tasks run, and
// starts it again.
func TestKillingDevLosesNothing(t *testing.T) {
	t.Parallel()
	d := ownDev(t)
	counted := watchStarts(t)
	const to = 100
	d.create(t, "counter", manifest("counter", "docker", "shell", counting(to), "tasks: {max_concurrent: 3}\n"))
	var ids []string
	for range 3 {
		ids = append(ids, d.submit("counter"))
	}
	for _, id := range ids {
		d.await(id, "running", func(got task) bool { return got.State == "Running" })
	}
	d.kill()
	d.restart()
	for _, id := range ids {
		got := d.awaitEnd(id)
		if got.State != "Succeeded" || !strings.Contains(string(got.Result), "counted") {
			t.Errorf("task %s: %s %+v", id, got.State, got.Failure)
		}
		wholeCount(t, d.must("task", "logs", id), to)
		if n := counted.of(id); n != 1 {
			t.Errorf("task %s was started %d times", id, n)
		}
		d.nothingLeft(id)
	}
}

// TestStoppingDevLeavesProgramsRunning stops the process as Ctrl-C does.
func TestStoppingDevLeavesProgramsRunning(t *testing.T) {
	t.Parallel()
	d := ownDev(t)
	counted := watchStarts(t)
	const to = 80
	d.create(t, "counter", manifest("counter", "gvisor", "shell", counting(to), ""))
	id := d.submit("counter")
	d.await(id, "running", func(got task) bool { return got.State == "Running" })
	d.interrupt()
	if len(d.containers(id)) != 1 {
		t.Errorf("the program is gone with the process")
	}
	d.restart()
	if got := d.awaitEnd(id); got.State != "Succeeded" {
		t.Errorf("%s %+v", got.State, got.Failure)
	}
	wholeCount(t, d.must("task", "logs", id), to)
	if n := counted.of(id); n != 1 {
		t.Errorf("it was started %d times", n)
	}
}

// TestASuspendedProgramTrulyStandsStill looks at the kernel's own accounts and
// at the program's counter.
func TestASuspendedProgramTrulyStandsStill(t *testing.T) {
	t.Parallel()
	for _, tier := range []string{"docker", "gvisor"} {
		t.Run(tier, func(t *testing.T) {
			t.Parallel()
			d := *theDev(t)
			d.t = t
			name := "still-" + tier
			// About 4 s of counting against a timeout of 7 s, and 5 s of standing still.
			d.create(t, name, manifest(name, tier, "shell", counting(40), "resources: {memory_mb: 64, cpu_cores: 0.5, execution_timeout: 9s}\n"))
			id := d.submit(name)
			d.await(id, "counting", func(got task) bool {
				return got.State == "Running" && strings.Count(d.must("task", "logs", id), "\n") >= 5
			})
			d.must("agent", "suspend", name, "--wait")
			if got := d.task(id); got.State != "Suspended" {
				t.Fatalf("state %s", got.State)
			}
			container := d.containers(id)[0]
			<-time.After(300 * time.Millisecond) // the kernel books the last slice of CPU time late
			cpu, lines := cpuTime(t, container), d.must("task", "logs", id)
			began := time.Now()
			<-time.After(5 * time.Second)
			if again := cpuTime(t, container); again != cpu {
				t.Errorf("CPU time went from %d to %d ns", cpu, again)
			}
			if again := d.must("task", "logs", id); again != lines {
				t.Errorf("it counted on")
			}
			d.must("agent", "resume", name)
			paused := time.Since(began)
			got := d.awaitEnd(id)
			if got.State != "Succeeded" {
				t.Fatalf("%s %+v", got.State, got.Failure)
			}
			if got.Usage.Frozen < 4.5 || got.Usage.Frozen > paused.Seconds()+5 {
				t.Errorf("%.1f s frozen are accounted for, it was about %s", got.Usage.Frozen, paused)
			}
			wholeCount(t, d.must("task", "logs", id), 40)
		})
	}
}

// TestTerminateFromEverywhere ends agents whose tasks run, stand still, or wait.
func TestTerminateFromEverywhere(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	for _, c := range []struct{ name, before string }{{"end-running", ""}, {"end-suspended", "suspend"}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := *d
			d.t = t
			d.create(t, c.name, manifest(c.name, "gvisor", "shell", counting(1000), ""))
			running, waiting := d.submit(c.name), d.submit(c.name)
			d.await(running, "running", func(got task) bool { return got.State == "Running" })
			if c.before != "" {
				d.must("agent", c.before, c.name, "--wait")
			}
			d.must("agent", "terminate", c.name, "--wait")
			if got := d.agentState(c.name); got != "Terminated" {
				t.Errorf("the agent is %s", got)
			}
			for _, id := range []string{running, waiting} {
				if got := d.awaitEnd(id); got.State != "Cancelled" {
					t.Errorf("task %s is %s", id, got.State)
				}
			}
			d.nothingLeft(running)
			d.create(t, c.name, shell(c.name, "docker", "true\n")) // the name may be used again
		})
	}
}

// TestTerminateWhileStarting asks for the end before the agent is Ready.
func TestTerminateWhileStarting(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	d.must("agent", "create", "-f", write(t, "a.yaml", shell("hasty", "docker", "true\n")))
	d.must("agent", "terminate", "hasty")
	d.awaitAgent("hasty", "Terminated")
	var history struct {
		Items []struct{ From, To string }
	}
	if err := d.get(agents+"/hasty/history", &history); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(history.Items)
	if err != nil {
		t.Fatal(err)
	}
	if want := `[{"From":"Initializing","To":"Ready"},{"From":"Ready","To":"Terminated"}]`; string(b) != want {
		t.Errorf("history %s, want %s", b, want)
	}
}

// TestCancelAndRetry ends a task and runs it again.
func TestCancelAndRetry(t *testing.T) {
	t.Parallel()
	d := theDev(t)
	d.create(t, "again", manifest("again", "docker", "shell", "echo begun\nif [ $SYMBI_ATTEMPT = 1 ]; then sleep 1000; fi\n", ""))
	id := d.submit("again")
	d.await(id, "running", func(got task) bool { return got.State == "Running" })
	d.must("task", "cancel", id, "--reason", "enough")
	if got := d.awaitEnd(id); got.State != "Cancelled" || !strings.Contains(got.Why, "enough") {
		t.Errorf("%s %q", got.State, got.Why)
	}
	if r := d.symbi("task", "cancel", id); r.code != 4 || !strings.Contains(r.err, "has ended") {
		t.Errorf("cancelled twice: exit %d, %s", r.code, r.err)
	}
	var next task
	if err := json.Unmarshal([]byte(d.must("task", "retry", id, "-o", "json")), &next); err != nil || next.RetryOf != id {
		t.Fatalf("retry: %+v, %v", next, err)
	}
	d.await(next.ID, "running", func(got task) bool { return got.State == "Running" })
	d.must("task", "cancel", next.ID)
	d.awaitEnd(next.ID)
}
