//go:build dev

package temporaldev_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"go.temporal.io/sdk/client"

	"symbi.dev/symbi/internal/temporaldev"
)

func TestWorkflowGoesOnAfterStopAndStart(t *testing.T) {
	t.Parallel()
	config := configure(t.TempDir())
	first, err := temporaldev.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(first.Stop)
	c := dial(t, first.ClientOptions())
	stop := work(t, c, "first")
	result[string](t, run(t, c, "ended", greet, "world"))
	run(t, c, "waiting", await)
	stop()
	c.Close()
	first.Stop()

	second := start(t, config)
	c = dial(t, second.ClientOptions())
	work(t, c, "second")
	if err := c.SignalWorkflow(t.Context(), "waiting", "", "go", "on"); err != nil {
		t.Fatalf("signal the workflow of the earlier run: %v", err)
	}
	if got := result[string](t, c.GetWorkflow(t.Context(), "waiting", "")); got != "on" {
		t.Errorf("the workflow gave %q, want what the signal brought", got)
	}
	if got := result[string](t, c.GetWorkflow(t.Context(), "ended", "")); got != "hello world from first" {
		t.Errorf("the workflow that had ended gives %q", got)
	}
}

const (
	// folderOfVictim is the environment variable that makes this test binary
	// the process that is to be killed, on the folder it names.
	folderOfVictim = "TEMPORALDEV_TEST_FOLDER"
	// busy is what that process says when all its workflows are under way.
	busy = "all workflows are under way"
	// walks is how many it runs, and stepsUnderWay what each has done by then.
	walks, stepsUnderWay = 4, 5
)

func walkID(i int) string { return fmt.Sprintf("walk %d", i) }

func TestMain(m *testing.M) {
	if dir := os.Getenv(folderOfVictim); dir != "" {
		fmt.Println(walkUntilKilled(context.Background(), dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestWorkflowsCompleteAfterTheProcessWasKilledInTheirMidst(t *testing.T) {
	t.Parallel()
	config := configure(t.TempDir())
	killInTheMidst(t, config.Dir)

	s := start(t, config)
	c := dial(t, s.ClientOptions())
	work(t, c, lastWorker)
	for i := range walks {
		if steps := result[int](t, c.GetWorkflow(t.Context(), walkID(i), "")); steps < stepsUnderWay {
			t.Errorf("%s lost steps: it has %d, and had %d before the process was killed", walkID(i), steps, stepsUnderWay)
		}
	}
	if got, want := result[string](t, run(t, c, "after", greet, "world")), "hello world from "+lastWorker; got != want {
		t.Errorf("a new workflow gave %q, want %q", got, want)
	}
}

// killInTheMidst runs this binary as a process of its own, and kills it while
// its workflows write to the folder.
func killInTheMidst(t *testing.T, dir string) {
	t.Helper()
	victim := exec.CommandContext(t.Context(), os.Args[0])
	victim.Env = append(os.Environ(), folderOfVictim+"="+dir)
	victim.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	victim.Stderr = t.Output()
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if kill := victim.Process.Kill(); kill != nil {
		t.Error(kill)
	}
	_ = victim.Wait() // says that it was killed
	if err != nil || line != busy+"\n" {
		t.Fatalf("the process to be killed said %q (%v), want %q", line, err, busy)
	}
}

// walkUntilKilled starts workflows that end with lastWorker only, of which there
// is none here, and says when they are busy.
func walkUntilKilled(ctx context.Context, dir string) error {
	s, err := temporaldev.Start(ctx, configure(dir))
	if err != nil {
		return err
	}
	defer s.Stop()
	c, err := client.Dial(quiet(s.ClientOptions()))
	if err != nil {
		return err
	}
	defer c.Close()
	stop, err := startWorker(c, "the victim")
	if err != nil {
		return err
	}
	defer stop()
	for i := range walks {
		if _, err := c.ExecuteWorkflow(ctx, order(walkID(i)), walk); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for i := range walks {
		if err := poll(ctx, func(ctx context.Context) error { return hasWalked(ctx, c, walkID(i)) }); err != nil {
			return err
		}
	}
	fmt.Println(busy)
	<-ctx.Done()
	return ctx.Err()
}

// hasWalked asks a workflow whether it has done what is wanted of it.
func hasWalked(ctx context.Context, c client.Client, id string) error {
	answer, err := c.QueryWorkflow(ctx, id, "", "steps")
	if err != nil {
		return err
	}
	var steps int
	if err := answer.Get(&steps); err != nil {
		return err
	}
	if steps < stepsUnderWay {
		return fmt.Errorf("%s is at step %d", id, steps)
	}
	return nil
}
