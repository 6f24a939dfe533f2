package sandbox

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox/initproto"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestEndingsAreJudged(t *testing.T) {
	t.Parallel()
	exit := func(reason initproto.ExitReason, code int) *initproto.Exit {
		return &initproto.Exit{Reason: reason, Code: code}
	}
	stop := func(cause stopCause) *stopOrder { return &stopOrder{Cause: cause, Reason: "because"} }
	for name, test := range map[string]struct {
		ending    ending
		stop      *stopOrder
		oomKills  int64
		noProcess int64
		code      agent.FailureCode // "" for none
		cause     string
		cancelled bool
	}{
		"a good end":                     {ending: ending{exit: exit(initproto.Exited, 0), result: []byte(" [1] ")}},
		"no result is fine":              {ending: ending{exit: exit(initproto.Exited, 0)}},
		"a result that cannot be read":   {ending: ending{exit: exit(initproto.Exited, 0), resultErr: fs.ErrPermission}, code: agent.CodeBadResult},
		"a bad end comes before results": {ending: ending{exit: exit(initproto.Exited, 2), resultErr: errTooLarge}, code: agent.CodeExit, cause: "code 2"},
		"a child died of memory, and it went on": {
			ending: ending{exit: exit(initproto.Exited, 0)}, oomKills: 1},
		"a child died of memory, and so did it": {
			ending: ending{exit: exit(initproto.Exited, 1)}, oomKills: 1, code: agent.CodeOutOfMemory},
		"no record":               {ending: ending{code: 2}, code: agent.CodeSandboxDied, cause: "exit code 2"},
		"no record, memory":       {ending: ending{code: 137, oomKilled: true}, code: agent.CodeOutOfMemory},
		"no record, processes":    {ending: ending{code: 2}, noProcess: 3, code: agent.CodeSandboxDied, cause: "processes"},
		"no record, the engine":   {ending: ending{engineError: "broken"}, code: agent.CodeSandboxDied, cause: "broken"},
		"no container":            {ending: ending{gone: true}, code: agent.CodeSandboxDied, cause: "removed"},
		"stopped":                 {ending: ending{exit: exit(initproto.Stopped, 143)}, stop: stop(stopAsked), cancelled: true},
		"killed when asked":       {ending: ending{code: 137}, stop: stop(stopAsked), cancelled: true},
		"done before it was told": {ending: ending{exit: exit(initproto.Exited, 0)}, stop: stop(stopAsked)},
		"timed out":               {ending: ending{exit: exit(initproto.Stopped, 143)}, stop: stop(stopTimeout), code: agent.CodeTimeout, cause: "1m0s"},
		"done just in time":       {ending: ending{exit: exit(initproto.Exited, 0)}, stop: stop(stopTimeout)},
		"fenced by init":          {ending: ending{exit: exit(initproto.Fenced, 137)}, code: agent.CodeFenced},
		"fenced by its node":      {ending: ending{code: 137}, stop: stop(stopFenced), code: agent.CodeFenced, cause: "because"},
		"the wrong kernel":        {ending: ending{exit: &initproto.Exit{Reason: initproto.WrongTier, Kernel: "linux"}}, code: agent.CodeWrongRuntime, cause: "linux"},
		"a runtime that lied to init": {
			ending: ending{exit: exit(initproto.Exited, 0)}, stop: stop(stopRuntime), code: agent.CodeWrongRuntime, cause: "because"},
		"init never spoke":         {ending: ending{code: 137}, stop: stop(stopSilent), code: agent.CodeSandboxStart},
		"init had no gateway":      {ending: ending{exit: &initproto.Exit{Reason: initproto.NotStarted, Error: "no gateway"}}, code: agent.CodeSandboxStart, cause: "no gateway"},
		"somebody else stopped it": {ending: ending{exit: exit(initproto.Stopped, 143)}, code: agent.CodeSandboxDied, cause: "somebody else"},
		"a record that makes no sense": {
			ending: ending{exit: exit("sideways", 0)}, code: agent.CodeSandboxDied},
		"a full disk is said": {ending: ending{exit: exit(initproto.Exited, 1), full: "files"}, code: agent.CodeExit, cause: "files"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := test.ending
			e.rec = record{Tier: agent.TierGVisor, Stop: test.stop, Used: accounts{OOMKills: test.oomKills, NoProcess: test.noProcess},
				Resources: agent.Resources{MemoryMB: 64, ExecutionTimeout: agent.Duration(time.Minute)}}
			f, cancelled := e.judge()
			if cancelled != test.cancelled {
				t.Errorf("cancelled %t", cancelled)
			}
			switch {
			case f == nil && test.code != "":
				t.Errorf("no failure, want %s", test.code)
			case f != nil && (f.Code != test.code || !strings.Contains(f.Cause, test.cause)):
				t.Errorf("got %s: %s; want %s: …%s…", f.Code, f.Cause, test.code, test.cause)
			case f != nil && (f.NextStep == "" || !slices.Contains(agent.FailureClasses, f.Class)):
				t.Errorf("class %q, next step %q", f.Class, f.NextStep)
			}
		})
	}
}

func TestTimesThatAProgramWroteAreBounded(t *testing.T) {
	t.Parallel()
	e := &ending{exit: &initproto.Exit{Reason: initproto.Exited, StartedAt: noon.Add(-time.Hour), EndedAt: time.Now().Add(24 * time.Hour)}}
	e.rec = record{LaunchedAt: noon}
	o := node.outcome(e)
	if o.StartedAt.Before(noon) || o.EndedAt.After(time.Now()) {
		t.Errorf("from %s to %s", o.StartedAt, o.EndedAt)
	}
}

func TestFrozenTimeDoesNotCount(t *testing.T) {
	t.Parallel()
	r := record{Resources: agent.Resources{ExecutionTimeout: agent.Duration(time.Minute)}}
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	due := func(now int, want int, cause stopCause) {
		t.Helper()
		got, why := r.due(at(now))
		if want < 0 && !got.IsZero() || want >= 0 && !got.Equal(at(want)) || why != cause {
			t.Errorf("at %d: due at %s for %q, want %d for %q", now, got, why, want, cause)
		}
	}
	r.launch(at(0))
	due(0, 60, stopSilent)
	r.freeze(at(10))
	due(20, -1, "")
	r.thaw(at(30))
	due(30, 80, stopSilent)
	if !r.started(at(40)) || r.started(at(50)) {
		t.Error("it was started twice, or never")
	}
	due(40, 100, stopTimeout)
	r.freeze(at(60))
	due(70, -1, "")
	if got := r.frozen(at(75)); got != 15*time.Second {
		t.Errorf("frozen for %s", got)
	}
	r.thaw(at(90))
	due(95, 130, stopTimeout)
	if got := r.running(at(100)); got != 30*time.Second {
		t.Errorf("ran for %s", got)
	}
	r.Stop = &stopOrder{Cause: stopAsked, KillAt: at(99)}
	due(95, 99, stopAsked)
}

func TestWhatAProgramIsTold(t *testing.T) {
	t.Parallel()
	img := Image{Entrypoint: []string{"/app"}, Cmd: []string{"serve"}, Env: []string{"PATH=/app/bin", "A=image", "B=image"}, WorkingDir: "/srv"}
	container := func(c agent.Container) agent.Program { return agent.Program{Container: &c} }
	for name, test := range map[string]struct {
		program agent.Program
		want    []string
	}{
		"the image's own":       {container(agent.Container{}), []string{"/app", "serve"}},
		"other arguments":       {container(agent.Container{Args: []string{"x"}}), []string{"/app", "x"}},
		"another command":       {container(agent.Container{Command: []string{"/b"}}), []string{"/b"}},
		"command and arguments": {container(agent.Container{Command: []string{"/b"}, Args: []string{"x"}}), []string{"/b", "x"}},
		"python": {agent.Program{Script: &agent.Script{Language: agent.Python, File: "dir/report.py", Args: []string{"--top", "3"}}},
			[]string{"python3", "/symbi/program/report.py", "--top", "3"}},
		"shell": {agent.Program{Script: &agent.Script{Language: agent.Shell, Code: "true"}}, []string{"/bin/sh", "/symbi/program/script.sh"}},
		"a name that is none": {agent.Program{Script: &agent.Script{Language: agent.Python, File: "../.."}},
			[]string{"python3", "/symbi/program/script.py"}},
		"a name of ours": {agent.Program{Script: &agent.Script{Language: agent.Python, File: "params.json"}},
			[]string{"python3", "/symbi/program/script.py"}},
	} {
		if got := argv(test.program, img); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
	s := command(agent.TierDocker, "i")
	s.Program.Env = map[string]string{"A": "manifest", "SYMBI_SOCKET": "forged"}
	task := node.task(&s, img)
	for _, want := range []string{"PATH=/app/bin:/symbi/bin", "PYTHONPATH=/symbi/lib", "A=manifest", "B=image", "HOME=/symbi/task/work", "TMPDIR=/tmp", "LANG=C.UTF-8",
		"SYMBI_SOCKET=/run/symbi/agent.sock", "SYMBI_ATTEMPT=1", "SYMBI_NAMESPACE=default", "SYMBI_AGENT=tester"} {
		if !slices.Contains(task.Env, want) {
			t.Errorf("%s is missing of %q", want, task.Env)
		}
	}
	if task.Dir != "/srv" || task.MaxProcesses != 0 || task.StopGraceMS != 300 || task.SilenceEndsMS != time.Minute.Milliseconds() {
		t.Errorf("task %+v", task)
	}
	s.Tier = agent.TierGVisor
	if node.task(&s, img).MaxProcesses != maxProcesses {
		t.Error("in gVisor init does not limit processes")
	}
}

func TestContainersAreHardened(t *testing.T) {
	t.Parallel()
	s := shell(agent.TierGVisor, "true")
	s.Resources.CPUCores = 1000
	config, host := node.containerConfig(&s, Image{ID: "sha256:x", Volumes: []string{"/data"}}, "/dev/loop99")
	limit := int64(128+overheadMB+sentryMB) << 20
	switch {
	case config.User != "65534:65534", !config.NetworkDisabled, host.NetworkMode != "none", config.Healthcheck.Test[0] != "NONE":
		t.Errorf("config %+v", config)
	case !host.ReadonlyRootfs, host.Privileged, host.AutoRemove, host.Init == nil || *host.Init, len(host.CapAdd) > 0,
		!slices.Equal(host.CapDrop, []string{"ALL"}), !slices.Contains(host.SecurityOpt, "no-new-privileges"),
		host.LogConfig.Type != "none", host.Runtime != "symbi-runsc", host.IpcMode != "private":
		t.Errorf("host %+v", host)
	case host.Memory != limit, host.MemorySwap != limit, *host.PidsLimit < 256, host.NanoCPUs != int64(node.host.cpus)*1e9,
		len(host.BlkioDeviceReadBps) < 2 || host.BlkioDeviceReadBps[0].Path != "/dev/loop99" || host.BlkioDeviceReadBps[0].Rate != 100e6,
		len(host.BlkioDeviceWriteBps) < 2:
		t.Errorf("limits %+v", host.Resources)
	}
	if !slices.ContainsFunc(host.SecurityOpt, func(o string) bool { return strings.HasPrefix(o, "seccomp={") }) {
		t.Error("there is no seccomp profile")
	}
	for _, m := range host.Mounts {
		writable := m.Target == initproto.ControlDir || m.Target == initproto.TaskDir || m.Target == "/tmp" || m.Target == "/data"
		if m.ReadOnly == writable || m.Type != "bind" || !strings.HasPrefix(m.Source, node.cfg.DataDir) {
			t.Errorf("mount %+v", m)
		}
	}
	for label, want := range map[string]string{labelInstallation: node.cfg.Installation, labelNode: "node-a", labelLease: string(s.Lease),
		labelTask: s.Task.String(), labelAttempt: "1"} {
		if config.Labels[label] != want {
			t.Errorf("label %s is %q", label, config.Labels[label])
		}
	}
}

func TestLimitsAreReportedTruthfully(t *testing.T) {
	t.Parallel()
	r := &record{Tier: agent.TierDocker, Resources: agent.Resources{MemoryMB: 64, CPUCores: 0.5, DiskIOMBps: 50, ExecutionTimeout: agent.Duration(time.Minute)}}
	for name, test := range map[string]struct {
		host host
		held bool
		note string
	}{
		"version 1":   {host{cpus: 2, disks: []string{"/dev/vda"}}, false, "page cache"},
		"version 2":   {host{cpus: 2, disks: []string{"/dev/vda"}, cgroupV2: true}, true, ""},
		"no own disk": {host{cpus: 2, cgroupV2: true}, false, "no disk"},
	} {
		d := &Driver{host: test.host}
		limits := d.limits(r)
		var names []string
		for _, l := range limits {
			names = append(names, l.Limit)
			if l.Enforcer == "" || l.Value == "" {
				t.Errorf("%s: %+v", name, l)
			}
			if l.Limit == "disk_io_mbps" && (l.Held != test.held || !strings.Contains(l.Note, test.note)) {
				t.Errorf("%s: %+v", name, l)
			}
		}
		if want := []string{"memory_mb", "cpu_cores", "disk_io_mbps", "network_io_mbps", "execution_timeout"}; !slices.Equal(names, want) {
			t.Errorf("limits %q", names)
		}
	}
}

func TestSpecsThatCannotBeRun(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(s *Spec){
		"no program":        func(s *Spec) { s.Program = agent.Program{} },
		"two programs":      func(s *Spec) { s.Program.Container = &agent.Container{} },
		"no script":         func(s *Spec) { s.Program.Script.Code = "" },
		"no tier":           func(s *Spec) { s.Tier = "" },
		"no memory limit":   func(s *Spec) { s.Resources.MemoryMB = 0 },
		"no time limit":     func(s *Spec) { s.Resources.ExecutionTimeout = 0 },
		"an input upwards":  func(s *Spec) { s.Inputs = []Input{{Name: "../x", Put: FromBytes(nil)}} },
		"a lease upwards":   func(s *Spec) { s.Lease = "../x" },
		"a lease too long":  func(s *Spec) { s.Lease = agent.LeaseID(strings.Repeat("x", 41)) },
		"a lease of nobody": func(s *Spec) { s.Lease = "" },
	} {
		s := shell(agent.TierDocker, "true")
		spoil(&s)
		if _, err := node.Start(t.Context(), s); !errors.Is(err, agent.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg := testConfig("/tmp/"+strings.Repeat("long/", 25)+"data", node.init)
	if err := (folders{cfg.DataDir}).checkLease("l1"); !errors.Is(err, agent.ErrInvalid) {
		t.Errorf("a data folder whose sockets have no room: %v", err)
	}
}
