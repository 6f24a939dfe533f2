package sandbox

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"symbi.dev/symbi/agent"
)

// A worker that dies is a process of its own, which a test kills: this test
// binary, told by these variables what to do.
const (
	helperDir      = "SYMBI_TEST_HELPER"
	helperScenario = "SYMBI_TEST_SCENARIO"
	helperTier     = "SYMBI_TEST_TIER"
	helperInit     = "SYMBI_TEST_INIT"
)

// scenario is what a worker does before it dies.
type scenario struct {
	code    string // of the program
	adjust  func(cfg *Config, s *Spec)
	engine  func(e engine) engine
	after   func(ctx context.Context, sb *Sandbox) error
	noStart bool // the worker dies within Start
}

const (
	slowLines   = `i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo line $i; sleep 0.05; done; echo '"whole"' >"$SYMBI_RESULT"`
	foreverLoop = `echo ready; while :; do sleep 0.05; echo on; done`
)

var scenarios = map[string]scenario{
	"running": {code: slowLines},
	"short":   {code: `echo ran; echo '"whole"' >"$SYMBI_RESULT"`},
	"timeout": {code: foreverLoop, adjust: func(_ *Config, s *Spec) { s.Resources.ExecutionTimeout = agent.Duration(2 * time.Second) }},
	"fenced":  {code: foreverLoop, adjust: func(c *Config, _ *Spec) { c.LeaseTTL = time.Second }},
	"frozen": {code: slowLines, after: func(ctx context.Context, sb *Sandbox) error {
		return sb.Freeze(ctx, 1)
	}},
	"frozen too long": {code: foreverLoop, adjust: func(c *Config, _ *Spec) { c.LeaseTTL = time.Second },
		after: func(ctx context.Context, sb *Sandbox) error { return sb.Freeze(ctx, 1) }},
	"frozen unrecorded": {code: slowLines, after: func(ctx context.Context, sb *Sandbox) error {
		return sb.freeze(ctx)
	}},
	"dies before create":   {code: slowLines, noStart: true, engine: func(e engine) engine { return hangingCreate{e} }},
	"dies before start":    {code: slowLines, noStart: true, engine: func(e engine) engine { return hangingStart{e, false} }},
	"dies after start":     {code: slowLines, noStart: true, engine: func(e engine) engine { return hangingStart{e, true} }},
	"container is removed": {code: foreverLoop},
}

// ready is what a worker says when it has come to its end.
const ready = "ready"

type hangingCreate struct{ engine }

func (hangingCreate) ContainerCreate(context.Context, *container.Config, *container.HostConfig,
	*network.NetworkingConfig, *ocispec.Platform, string) (container.CreateResponse, error) {
	fmt.Println(ready)
	select {}
}

type hangingStart struct {
	engine
	really bool
}

func (h hangingStart) ContainerStart(ctx context.Context, id string, o container.StartOptions) error {
	if h.really {
		if err := h.engine.ContainerStart(ctx, id, o); err != nil {
			return err
		}
	}
	fmt.Println(ready)
	select {}
}

// scenarioSpec is the task of a scenario.
func scenarioSpec(name string, tier agent.Tier, cfg *Config) Spec {
	sc := scenarios[name]
	s := shell(tier, sc.code)
	s.Lease, s.Task.Task = "adopted", "adopted"
	if sc.adjust != nil {
		sc.adjust(cfg, &s)
	}
	return s
}

// helperMain is the worker that dies.
func helperMain(dir string) int {
	ctx := context.Background()
	name := os.Getenv(helperScenario)
	cfg := testConfig(dir, os.Getenv(helperInit))
	spec := scenarioSpec(name, agent.Tier(os.Getenv(helperTier)), &cfg)
	e, err := dial(DefaultEngineHost)
	if err == nil && scenarios[name].engine != nil {
		e = scenarios[name].engine(e)
	}
	var d *Driver
	if err == nil {
		cfg.EngineHost = DefaultEngineHost
		d, err = open(ctx, cfg, e)
	}
	var sb *Sandbox
	if err == nil {
		sb, err = d.Start(ctx, spec)
	}
	if err == nil {
		_, err = sb.LogGrown(ctx, 0)
	}
	if after := scenarios[name].after; err == nil && after != nil {
		err = after(ctx, sb)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(ready)
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
	return 0
}

// killedWorker runs a scenario's worker in a data folder until it is ready,
// and kills it.
func killedWorker(t *testing.T, dir, name string, tier agent.Tier) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), helperDir+"="+dir, helperScenario+"="+name, helperTier+"="+string(tier), helperInit+"="+node.init)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 4096)
	n, err := stdout.Read(said)
	if err != nil || !strings.HasPrefix(string(said[:n]), ready) {
		t.Errorf("the worker: %q, %v", said[:n], err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // it was killed
	if t.Failed() {
		t.FailNow()
	}
}

// starts counts how often the engine started the container of a lease, by its
// own events.
func starts(t *testing.T, d *Driver, lease agent.LeaseID) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	messages, errs := d.engine.(*client.Client).Events(ctx, events.ListOptions{
		Since: "0", Until: fmt.Sprint(time.Now().Unix() + 1),
		Filters: filters.NewArgs(filters.Arg("type", "container"), filters.Arg("event", "start"),
			filters.Arg("label", labelInstallation+"="+d.cfg.Installation), filters.Arg("label", labelLease+"="+string(lease))),
	})
	for n := 0; ; {
		select {
		case <-messages:
			n++
		case err := <-errs:
			if err != nil && err != io.EOF {
				t.Fatal(err)
			}
			return n
		}
	}
}
