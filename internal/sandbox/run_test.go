package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/tasklog"
)

func TestAProgramRunsAndIsAccountedFor(t *testing.T) {
	both(t, func(t *testing.T, tier agent.Tier) {
		s := shell(tier, `echo hello; cat "$SYMBI_PARAMS" "$SYMBI_INPUT/data"; pwd; id -u; echo "$SYMBI_TASK_ID $SYMBI_ATTEMPT $COLOUR"
			echo '{"answer": 42}' >"$SYMBI_RESULT"; head -c 3000000 /dev/zero >"$SYMBI_OUTPUT/zeros"; sync
			i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done`)
		s.Params = []byte(`{"top":3}`)
		s.Inputs = []Input{{Name: "data", Put: FromBytes([]byte("\nrow\n"))}}
		s.Program.Env = map[string]string{"COLOUR": "blue", "SYMBI_TASK_ID": "forged"}
		sb, o := run(t, s)
		if o.Failure != nil {
			t.Fatal(o.Failure)
		}
		want := []string{"o hello", `o {"top":3}`, "o row", "o /symbi/task/work", "o 65534", "o " + string(s.Task.Task) + " 1 blue"}
		if got := logOf(t, sb); !slices.Equal(got, want) {
			t.Errorf("log: got %q, want %q", got, want)
		}
		if string(o.Result) != "{\"answer\": 42}\n" {
			t.Errorf("result: %q", o.Result)
		}
		u := o.Usage
		if u.CPUSeconds <= 0 || u.PeakMemoryBytes < 1<<20 || u.WallSeconds <= 0 || o.StartedAt.IsZero() || o.EndedAt.Before(o.StartedAt) {
			t.Errorf("usage %+v from %s to %s", u, o.StartedAt, o.EndedAt)
		}
		if o.Tier != tier || !agent.Digest(o.ImageDigest).Valid() || len(o.Limits) != 5 {
			t.Errorf("tier %s, image %s, %d limits", o.Tier, o.ImageDigest, len(o.Limits))
		}
	})
}

func TestFailuresAreToldApart(t *testing.T) {
	for name, test := range map[string]struct {
		code   string
		python bool
		adjust func(s *Spec)
		class  agent.FailureClass
		word   agent.FailureCode
		cause  string
	}{
		"exits 1": {code: "exit 1", class: agent.FailProgram, word: agent.CodeExit, cause: "code 1"},
		"is killed by a signal of its own": {code: "kill -SEGV $$", class: agent.FailProgram, word: agent.CodeSignal,
			cause: "SIGSEGV"},
		"takes too much memory": {code: "a = bytearray(500 << 20)", python: true, class: agent.FailResources, word: agent.CodeOutOfMemory,
			cause: "128 MB"},
		"has a child that takes too much memory": {python: true, class: agent.FailResources, word: agent.CodeOutOfMemory,
			code: "import subprocess, sys\nsys.exit(subprocess.call([sys.executable, '-c', 'a = bytearray(500 << 20)']) != 0)"},
		"runs for too long": {code: "sleep 60", class: agent.FailResources, word: agent.CodeTimeout, cause: "700ms",
			adjust: func(s *Spec) { s.Resources.ExecutionTimeout = agent.Duration(700 * time.Millisecond) }},
		"fills its disk": {code: `head -c 100M /dev/zero >x`, class: agent.FailProgram, word: agent.CodeExit, cause: "32 MB of scratch space were used up"},
		"makes a million files": {python: true, class: agent.FailProgram, word: agent.CodeExit, cause: "as many files",
			code: "for i in range(1000000): open(str(i), 'x').close()"},
		"writes no JSON": {code: `echo '{"a":' >"$SYMBI_RESULT"`, class: agent.FailProgram, word: agent.CodeBadResult, cause: "JSON"},
		"writes a large result": {code: `head -c 2000000 /dev/zero >"$SYMBI_RESULT"`, class: agent.FailProgram, word: agent.CodeBadResult,
			cause: "1048576 bytes"},
		"leaves a folder as its result": {code: `mkdir "$SYMBI_RESULT"`, class: agent.FailProgram, word: agent.CodeBadResult, cause: "no regular file"},
		"leaves a link as its result": {code: `ln -s /etc/shadow "$SYMBI_RESULT"`, class: agent.FailProgram, word: agent.CodeBadResult,
			cause: "no regular file"},
		"names a command that is not there": {class: agent.FailProgram, word: agent.CodeCommandNotFound, cause: "no-such-command",
			adjust: func(s *Spec) { *s = command(s.Tier, "symbi/base:1", "no-such-command") }},
		"names a command that cannot run": {class: agent.FailProgram, word: agent.CodeCommandNotFound, cause: "/etc/passwd",
			adjust: func(s *Spec) { *s = command(s.Tier, "symbi/base:1", "/etc/passwd") }},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, tier agent.Tier) {
				s := shell(tier, test.code)
				if test.python {
					s = script(tier, agent.Python, test.code)
				}
				if test.adjust != nil {
					test.adjust(&s)
				}
				_, o := run(t, s)
				f := o.Failure
				if f == nil {
					t.Fatal("it succeeded")
				}
				if f.Class != test.class || f.Code != test.word || !strings.Contains(f.Cause, test.cause) || f.NextStep == "" {
					t.Errorf("got %s/%s %q, next %q; want %s/%s about %q", f.Class, f.Code, f.Cause, f.NextStep, test.class, test.word, test.cause)
				}
				if test.word == agent.CodeExit && (f.ExitCode == nil || *f.ExitCode == 0) {
					t.Errorf("exit code %v", f.ExitCode)
				}
			})
		})
	}
}

// In gVisor a pipe exists only inside.
func TestAPipeAsResult(t *testing.T) {
	t.Parallel()
	_, o := run(t, shell(agent.TierDocker, `mkfifo "$SYMBI_RESULT"`))
	if o.Failure == nil || o.Failure.Code != agent.CodeBadResult {
		t.Errorf("failure %v", o.Failure)
	}
}

func TestAForkBombHarmsOnlyItself(t *testing.T) {
	both(t, func(t *testing.T, tier agent.Tier) {
		s := script(tier, agent.Python, `
import os, time
made = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
except OSError as e:
    print("refused", e.errno)
    raise SystemExit(3 if made > 50 else 4)
`)
		s.Resources.MemoryMB = 1024
		sb, o := run(t, s)
		if o.Failure == nil || o.Failure.Code != agent.CodeExit || *o.Failure.ExitCode != 3 {
			t.Fatalf("failure %v, log %q", o.Failure, logOf(t, sb))
		}
		if got := logOf(t, sb); !slices.Equal(got, []string{"o refused 11"}) {
			t.Errorf("log %q", got)
		}
	})
}

func TestAnExplosionOfProcessesEnds(t *testing.T) {
	both(t, func(t *testing.T, tier agent.Tier) {
		s := shell(tier, `b() { b | b & }; b; sleep 60`)
		s.Resources.ExecutionTimeout = agent.Duration(3 * time.Second)
		if _, o := run(t, s); o.Failure == nil {
			t.Error("it succeeded")
		}
	})
}

func TestAFloodOfOutputIsBounded(t *testing.T) {
	both(t, func(t *testing.T, tier agent.Tier) {
		most := int64(1_000_000_000)
		if tier == agent.TierGVisor {
			most /= 20 // it is ten times slower
		}
		s := shell(tier, fmt.Sprintf(`echo first; head -c %d /dev/zero; echo; echo last`, most))
		s.Resources.CPUCores = 2
		sb, o := run(t, s)
		if o.Failure != nil {
			t.Fatal(o.Failure)
		}
		if o.LogBytes < most || o.LogDropped < most-(logHeadBytes+3*logTailBytes) {
			t.Errorf("%d bytes of log, %d dropped", o.LogBytes, o.LogDropped)
		}
		r := tasklog.NewReader(sb.LogReader(t.Context(), 0), 0)
		var first, last tasklog.Record
		var gap int64
		for {
			rec, err := r.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if first.Next == 0 {
				first = rec
			}
			last, gap = rec, gap+rec.Gap
		}
		if string(first.Text) != "first" || string(last.Text) != "last" || gap != o.LogDropped || last.Next != o.LogBytes {
			t.Errorf("first %q, last %q, gap %d of %d, end %d of %d", first.Text, last.Text, gap, o.LogDropped, last.Next, o.LogBytes)
		}
	})
}

func TestInvalidUTF8IsKeptInTheLog(t *testing.T) {
	both(t, func(t *testing.T, tier agent.Tier) {
		sb, o := run(t, shell(tier, `printf 'a\377\376b\000c\n'`))
		if got := logOf(t, sb); o.Failure != nil || !slices.Equal(got, []string{"o a\xff\xfeb\x00c"}) {
			t.Errorf("failure %v, log %q", o.Failure, got)
		}
	})
}

func TestChildrenThatAreLeftBehindGoToo(t *testing.T) {
	both(t, func(t *testing.T, tier agent.Tier) {
		begin := time.Now()
		sb, o := run(t, shell(tier, `sleep 300 & (setsid sleep 300 &) ; echo parent ends`))
		if o.Failure != nil || !slices.Equal(logOf(t, sb), []string{"o parent ends"}) {
			t.Errorf("failure %v, log %q", o.Failure, logOf(t, sb))
		}
		if took := time.Since(begin); took > 100*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestTheSandboxIsClosed(t *testing.T) {
	both(t, func(t *testing.T, tier agent.Tier) {
		sb, o := run(t, script(tier, agent.Python, `
import os, socket
def refused(what, do):
    try: do()
    except OSError as e: print(what, "refused")
    else: print(what, "allowed")
refused("root", lambda: open("/etc/new", "w"))
refused("program", lambda: open("/symbi/program/new", "w"))
refused("input", lambda: open("/symbi/input/new", "w"))
refused("bin", lambda: open("/symbi/bin/new", "w"))
refused("socket folder", lambda: open("/run/symbi/new", "w"))
refused("network", lambda: socket.create_connection(("192.0.2.1", 80), 2))
refused("setuid", lambda: os.setuid(0))
print(sorted(n for _, n in socket.if_nameindex()) if False else open("/proc/net/dev").read().count(":"))
open("/tmp/x", "w").write("x"); open(os.environ["HOME"] + "/x", "w").write("x")
print([l.split()[1] for l in open("/proc/self/status") if l.startswith(("CapEff", "NoNewPrivs"))])
`))
		if o.Failure != nil {
			t.Fatal(o.Failure, logOf(t, sb))
		}
		got := strings.Join(logOf(t, sb), "\n")
		if strings.Contains(got, "allowed") || strings.Count(got, "refused") != 7 {
			t.Errorf("log:\n%s", got)
		}
		if !strings.Contains(got, "o 1\n") || !strings.Contains(got, "0000000000000000") {
			t.Errorf("log:\n%s", got)
		}
	})
}

func TestImagesThatCannotBeHad(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		image agent.Container
		cause string
	}{
		"never pulled":     {agent.Container{Image: "symbi/absent:1", Pull: agent.PullNever}, "pull rule is never"},
		"not in reach":     {agent.Container{Image: "127.0.0.1:9/symbi/absent:1", Pull: agent.PullMissing}, "cannot be had"},
		"always asked for": {agent.Container{Image: "127.0.0.1:9/symbi/absent:1", Pull: agent.PullAlways}, "cannot be had"},
		"no name":          {agent.Container{Image: "UPPER CASE", Pull: agent.PullMissing}, "cannot be had"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := command(agent.TierDocker, "")
			s.Program.Container = &test.image
			_, err := node.Start(t.Context(), s)
			var f *agent.Failure
			if !errors.As(err, &f) || f.Class != agent.FailDependency || f.Code != agent.CodeImageMissing || !strings.Contains(f.Cause, test.cause) {
				t.Errorf("got %v", err)
			}
			removeWhole(t, node.Driver, s.Lease)
		})
	}
}

func TestImagesAreFound(t *testing.T) {
	t.Parallel()
	c := agent.Container{Image: "symbi/base:1", Pull: agent.PullMissing}
	if ok, err := node.Present(t.Context(), c); !ok || err != nil {
		t.Errorf("present: %t, %v", ok, err)
	}
	img, err := node.ResolveImage(t.Context(), c)
	if err != nil || !img.Digest.Valid() || !slices.Equal(img.Cmd, []string{"/bin/sh"}) {
		t.Errorf("image %+v, %v", img, err)
	}
	absent := agent.Container{Image: "symbi/absent:1", Pull: agent.PullMissing}
	if ok, err := node.Present(t.Context(), absent); ok || err != nil {
		t.Errorf("present: %t, %v", ok, err)
	}
}

func TestAnEngineThatIsNotThere(t *testing.T) {
	t.Parallel()
	cfg := testConfig(shortDir(t), node.init)
	cfg.EngineHost = "unix://" + cfg.DataDir + "/no.sock"
	d, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer d.Close()
	h := d.Check(t.Context())
	if len(h.Tiers) > 0 || len(h.Problems) != 1 || h.Problems[0].Fix == "" {
		t.Errorf("health %+v", h)
	}
	_, err = d.Start(t.Context(), shell(agent.TierDocker, "true"))
	var f *agent.Failure
	if !errors.As(err, &f) || f.Class != agent.FailDependency || f.Code != agent.CodeEngineMissing || !strings.Contains(f.NextStep, "deploy/setup.sh") {
		t.Errorf("got %v", err)
	}
}

func TestARuntimeThatIsNotThere(t *testing.T) {
	t.Parallel()
	cfg := testConfig(shortDir(t), node.init)
	cfg.Runtimes = map[agent.Tier]string{agent.TierDocker: "runc", agent.TierGVisor: "symbi-nonesuch"}
	d := openOn(t, cfg)
	if h := d.Check(t.Context()); !slices.Equal(h.Tiers, []agent.Tier{agent.TierDocker}) || len(h.Problems) != 1 {
		t.Errorf("health %+v", h)
	}
	s := shell(agent.TierGVisor, "true")
	_, err := d.Start(t.Context(), s)
	var f *agent.Failure
	if !errors.As(err, &f) || f.Class != agent.FailDependency || !strings.Contains(f.Cause, "symbi-nonesuch") {
		t.Errorf("got %v", err)
	}
	for _, left := range leftovers(t, d, s.Lease) {
		t.Errorf("%s was left behind", left)
	}
}

func TestAnEngineWhoseGVisorIsReallyRunc(t *testing.T) {
	t.Parallel()
	cfg := testConfig(shortDir(t), node.init)
	cfg.Runtimes = map[agent.Tier]string{agent.TierDocker: "runc", agent.TierGVisor: "runc"}
	d := openOn(t, cfg)
	s := shell(agent.TierGVisor, `echo ran >"$SYMBI_OUTPUT/ran"; echo ran`)
	sb := startOn(t, d, s)
	o := outcomeOf(t, sb)
	if o.Failure == nil || o.Failure.Class != agent.FailSandbox || o.Failure.Code != agent.CodeWrongRuntime || !strings.Contains(o.Failure.Cause, "gvisor") {
		t.Errorf("failure %v", o.Failure)
	}
	if got := logOf(t, sb); len(got) > 0 {
		t.Errorf("the program ran: %q", got)
	}
}

func TestTheHostSeesWhichRuntimeItIs(t *testing.T) {
	both(t, func(t *testing.T, tier agent.Tier) {
		sb := start(t, shell(tier, "sleep 60"))
		<-sb.Started()
		<-sb.identified
		got, err := sb.proc.tier()
		if err != nil || got != tier {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestSeccompRefusesWhatOrdinaryProgramsDoNotNeed(t *testing.T) {
	t.Parallel()
	sb, o := run(t, script(agent.TierDocker, agent.Python, `
import ctypes, errno, socket
libc = ctypes.CDLL(None, use_errno=True)
for name, number, *args in [
    ("io_uring_setup", 425, 1, 0), ("keyctl", 250, 0, 0), ("bpf", 321, 0, 0, 0), ("userfaultfd", 323, 0),
    ("perf_event_open", 298, 0, 0, 0, 0, 0), ("ptrace", 101, 0, 0, 0, 0), ("process_vm_readv", 310, 1, 0, 0, 0, 0, 0),
    ("mount", 165, 0, 0, 0, 0, 0), ("unshare", 272, 0x10000000), ("setns", 308, 0, 0), ("clone", 56, 0x10000011, 0, 0, 0, 0),
    ("clone3", 435, 0, 0), ("kexec_load", 246, 0, 0, 0, 0), ("open_by_handle_at", 304, 0, 0, 0), ("msgget", 68, 0, 0o1600),
    ("add_key", 248, 0, 0, 0, 0, 0), ("syslog", 103, 3, 0, 0), ("personality", 135, 0x0400000), ("pidfd_getfd", 438, 0, 0, 0),
]:
    r = libc.syscall(number, *[ctypes.c_long(a) for a in args])
    e = ctypes.get_errno()
    if r != -1 or e not in (errno.EPERM, errno.ENOSYS): print(name, "gave", r, e)
for family in (socket.AF_VSOCK, socket.AF_NETLINK, socket.AF_PACKET, 38, 29, 16, 31):
    try: socket.socket(family, socket.SOCK_DGRAM)
    except PermissionError: pass
    except OSError as e: print("family", family, e)
    else: print("family", family, "opened")
`))
	if got := logOf(t, sb); o.Failure != nil || len(got) > 0 {
		t.Errorf("failure %v; not refused: %q", o.Failure, got)
	}
}

func TestOrdinaryProgramsRunUnderSeccomp(t *testing.T) {
	t.Parallel()
	sb, o := run(t, script(agent.TierDocker, agent.Python, `
import asyncio, concurrent.futures, json, multiprocessing, os, socket, sqlite3, subprocess, tempfile, threading
with multiprocessing.Pool(2) as p: assert p.map(abs, [-1, -2]) == [1, 2]
with concurrent.futures.ThreadPoolExecutor() as e: assert list(e.map(abs, [-3])) == [3]
async def serve():
    s = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    r, w = await asyncio.open_connection(*s.sockets[0].getsockname())
    assert await r.read() == b""; w.close(); s.close()
asyncio.run(serve())
db = sqlite3.connect("x.db"); db.execute("create table t(a)"); db.commit()
subprocess.run("sort /etc/passwd | awk -F: '{print $1}' | tar -cf x.tar -T /dev/null && ls -l >/dev/null", shell=True, check=True)
print("fine")
`))
	if got := logOf(t, sb); o.Failure != nil || !slices.Equal(got, []string{"o fine"}) {
		t.Errorf("failure %v, log %q", o.Failure, got)
	}
}

func TestTheSeccompProfileIsWhole(t *testing.T) {
	t.Parallel()
	var profile struct {
		DefaultAction string
		Syscalls      []struct{ Names []string }
	}
	if err := json.Unmarshal([]byte(seccompProfile), &profile); err != nil {
		t.Fatal(err)
	}
	if profile.DefaultAction != "SCMP_ACT_ERRNO" || len(profile.Syscalls) == 0 || bytes.ContainsAny([]byte(seccompProfile), "\n") {
		t.Errorf("default %s, %d rules", profile.DefaultAction, len(profile.Syscalls))
	}
}
