package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/client"
)

const (
	coldRuns = 50
	coldWarm = 3 // runs before those that count
	// helloImage holds the static program and nothing else.
	helloImage = "symbi-bench/hello:1"
)

// coldStart measures how long it takes from submitting a task over REST until
// a follower has the first line of its log, in turns with `docker run` of the
// same program in the same runtime until its first line.
func coldStart(ctx context.Context, b *bench) error {
	dir, done, err := tempDir()
	if err != nil {
		return err
	}
	defer done()
	if err := makeHelloImage(ctx, dir); err != nil {
		return err
	}
	c, err := b.startChild(ctx, dir+"/data")
	if err != nil {
		return err
	}
	defer func() { _ = c.stop() }()
	static, err := c.coldProgram(ctx, "hello", "program:\n  container: {image: "+helloImage+"}\n",
		"--runtime=symbi-runsc", helloImage)
	if err != nil {
		return err
	}
	python, err := c.coldProgram(ctx, "python", "program:\n  script: {language: python, code: \"print('hello')\"}\n",
		"--runtime=symbi-runsc", "symbi/python:1", "python3", "-c", "print('hello')")
	if err != nil {
		return err
	}
	p50, raw := percentile(static.ours, 50), percentile(static.raw, 50)
	note := fmt.Sprintf("%d runs in turns with docker run --runtime=symbi-runsc", coldRuns)
	return errors.Join(
		b.report(figure{Name: "start.cold_gvisor_p50_ms", Value: p50, Unit: "ms", Goal: "<=450", Baseline: raw, Note: note}),
		b.report(figure{Name: "start.cold_gvisor_p95_ms", Value: percentile(static.ours, 95), Unit: "ms", Baseline: percentile(static.raw, 95), Note: note}),
		b.report(figure{Name: "start.cold_gvisor_ratio", Value: p50 / raw, Unit: "ratio", Goal: "<=1.5", Baseline: 1, Note: note}),
		b.report(figure{Name: "start.cold_python_p50_ms", Value: percentile(python.ours, 50), Unit: "ms", Baseline: percentile(python.raw, 50), Note: note}),
		b.report(figure{Name: "start.cold_python_p95_ms", Value: percentile(python.ours, 95), Unit: "ms", Baseline: percentile(python.raw, 95), Note: note}),
	)
}

// turns are the times of two ways to the same thing.
type turns struct{ ours, raw []time.Duration }

// coldProgram measures one program both ways.
func (c *child) coldProgram(ctx context.Context, name, program string, docker ...string) (turns, error) {
	var t turns
	manifest := "apiVersion: symbi/v1\nkind: Agent\nname: " + name + "\n" + program
	if _, err := c.conn.CreateAgent(ctx, agent.DefaultNamespace, []byte(manifest), false); err != nil {
		return t, err
	}
	ref := agent.Ref{Namespace: agent.DefaultNamespace, Name: agent.Name(name)}
	for i := range coldWarm + coldRuns {
		ours, err := c.firstLine(ctx, ref)
		if err != nil {
			return t, err
		}
		raw, err := dockerFirstLine(ctx, docker...)
		if err != nil {
			return t, err
		}
		if i >= coldWarm {
			t.ours, t.raw = append(t.ours, ours), append(t.raw, raw)
		}
	}
	return t, nil
}

// firstLine submits a task and takes the time until its first line is here;
// then it lets the task end.
func (c *child) firstLine(ctx context.Context, ref agent.Ref) (time.Duration, error) {
	began := time.Now()
	task, err := c.conn.Submit(ctx, ref, client.TaskRequest{}, false)
	if err != nil {
		return 0, err
	}
	var took time.Duration
	end, err := c.conn.Follow(ctx, ref.Namespace, agent.TaskID(task.Id), client.Follower{Line: func(client.LogLine) error {
		if took == 0 {
			took = time.Since(began)
		}
		return nil
	}})
	if err != nil {
		return 0, err
	}
	if end.State != agent.TaskSucceeded || took == 0 {
		return 0, fmt.Errorf("task %s is %s, and its first line came after %s: %s", task.Id, end.State, took, end.Why)
	}
	return took, nil
}

// dockerFirstLine takes the time of `docker run` to its first line, and lets it end.
func dockerFirstLine(ctx context.Context, args ...string) (time.Duration, error) {
	began := time.Now()
	cmd := exec.CommandContext(ctx, "docker", append([]string{"run", "--rm", "--network=none"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	_, err = bufio.NewReader(out).ReadString('\n')
	took := time.Since(began)
	return took, errors.Join(err, cmd.Wait())
}

// makeHelloImage makes an image of the static program.
func makeHelloImage(ctx context.Context, dir string) error {
	path := filepath.Join(dir, "hello")
	build := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", path, "./test/load/bench/hello")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the static program: %w: %s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "hello", Mode: 0o755, Size: int64(len(program))}); err != nil {
		return err
	}
	if _, err := w.Write(program); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	load := exec.CommandContext(ctx, "docker", "import", "--change", `ENTRYPOINT ["/hello"]`, "-", helloImage)
	load.Stdin = &layer
	if out, err := load.CombinedOutput(); err != nil {
		return fmt.Errorf("make the image of the static program: %w: %s", err, out)
	}
	return nil
}
