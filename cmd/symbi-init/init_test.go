package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"symbi.dev/symbi/internal/sandbox/initproto"
)

func TestProgramsEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		task   initproto.Task
		code   int
		reason initproto.ExitReason
		signal string
		says   string // in the log
		err    string // in the record's error
		absent bool   // the command is
	}{
		{name: "well", task: script("echo fine"), reason: initproto.Exited, says: "fine\n"},
		{name: "with a code", task: script("exit 42"), code: 42, reason: initproto.Exited},
		{name: "by a signal of its own", task: script("kill -SEGV $$"), code: 139, reason: initproto.Signaled, signal: "SIGSEGV"},
		{name: "with output that has no newline", task: script("printf abc"), reason: initproto.Exited, says: "abc\n"},
		{name: "having read nothing from stdin", task: script("cat; echo end"), reason: initproto.Exited, says: "end\n"},
		{name: "with only the variables it was given", task: command("env"), reason: initproto.Exited,
			says: "PATH=/usr/bin:/bin:/symbi/task\nSYMBI_SOCKET=/run/symbi/agent.sock\n"},
		{name: "in its folder", task: script("pwd"), reason: initproto.Exited, says: "/symbi/task\n"},
		{name: "in a process group of its own", task: script(`[ "$(cut -d' ' -f5 /proc/$$/stat)" = $$ ] && echo own`), reason: initproto.Exited, says: "own\n"},
		{name: "without new privileges", task: script("grep NoNewPrivs /proc/self/status"), reason: initproto.Exited, says: "\t1\n"},
		{name: "with limits", task: limited(script("ulimit -n; ulimit -Hn; ulimit -c")), reason: initproto.Exited, says: "100\n100\n0\n"},
		{name: "unable to look into init", task: script("cat /proc/1/environ /proc/1/mem 2>&1; ls /proc/1/fd 2>&1; true"), reason: initproto.Exited, says: "Permission denied"},
		{name: "unable to kill init", task: script("for s in KILL STOP ABRT SEGV ALRM PIPE SYS; do kill -$s 1; done; echo alive"), reason: initproto.Exited, says: "alive\n"},
		{name: "not begun: no command", task: command(), code: 127, reason: initproto.NotStarted, err: "names no command", absent: true},
		{name: "not begun: not in PATH", task: command("no-such-command"), code: 127, reason: initproto.NotStarted,
			err: `"no-such-command" is in no folder of PATH (/usr/bin:/bin:/symbi/task)`, absent: true},
		{name: "not begun: no such file", task: command("/no/such/command"), code: 127, reason: initproto.NotStarted, err: "/no/such/command is not in this image", absent: true},
		{name: "not begun: relative, no such file", task: command("./missing"), code: 127, reason: initproto.NotStarted, err: "/symbi/task/missing is not", absent: true},
		{name: "not begun: a folder", task: command("/usr/bin"), code: 126, reason: initproto.NotStarted, err: "is a folder", absent: true},
		{name: "not begun: not executable", task: command("/etc/passwd"), code: 126, reason: initproto.NotStarted, err: "may not execute it", absent: true},
		{name: "not begun: in PATH, not executable", task: command("plain"), code: 126, reason: initproto.NotStarted, err: "/symbi/task/plain is there", absent: true},
		{name: "not begun: no format", task: command("noformat"), code: 126, reason: initproto.NotStarted, err: "neither a program", absent: true},
		{name: "not begun: no interpreter", task: command("nointerpreter"), code: 127, reason: initproto.NotStarted, err: "interpreter", absent: true},
		{name: "not begun: no folder", task: in("/no/folder", command("true")), code: 125, reason: initproto.NotStarted, err: `working folder "/no/folder"`},
		{name: "not begun: endless arguments", task: command("true", strings.Repeat("x", 3<<20)), code: 126, reason: initproto.NotStarted, err: "longer than the kernel takes", absent: true},
		{name: "not begun: another kernel", task: onTier("gvisor", command("true")), code: 125, reason: initproto.WrongTier, err: "not gVisor's runsc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := makeRoot(t, c.task)
			for name, text := range map[string]string{"noformat": "\x7fjunk", "nointerpreter": "#!/no/interpreter\n", "plain": "#!/bin/sh\n"} {
				mode := os.FileMode(0o755)
				if name == "plain" {
					mode = 0o644
				}
				if err := os.WriteFile(filepath.Join(b.root, "symbi/task", name), []byte(text), mode); err != nil {
					t.Fatal(err)
				}
			}
			openGateway(t, b.socketDir(), b.node, c.task)
			b.start()
			code, record := b.end()
			if code != c.code || record.Code != c.code || record.Reason != c.reason || record.Signal != c.signal {
				t.Errorf("init's code %d and record %+v, want code %d, reason %s, signal %q", code, record, c.code, c.reason, c.signal)
			}
			if !strings.Contains(record.Error, c.err) || record.NotFound != c.absent {
				t.Errorf("error %q, not found %v, want %q, %v", record.Error, record.NotFound, c.err, c.absent)
			}
			if !strings.Contains(b.text(), c.says) {
				t.Errorf("log %q, want %q", b.text(), c.says)
			}
			if record.Kernel != kernelLinux || record.EndedAt.IsZero() || record.StartedAt.IsZero() != (c.err != "") {
				t.Errorf("record %+v", record)
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			if len(b.exited) != 1 || b.exited[0].Reason != c.reason {
				t.Errorf("the gateway heard of the ends %+v", b.exited)
			}
		})
	}
}

func limited(t initproto.Task) initproto.Task              { t.MaxOpenFiles = 100; return t }
func in(dir string, t initproto.Task) initproto.Task       { t.Dir = dir; return t }
func onTier(tier string, t initproto.Task) initproto.Task  { t.Tier = tier; return t }
func silence(ms int64, t initproto.Task) initproto.Task    { t.SilenceEndsMS = ms; return t }
func graceful(ms int64, t initproto.Task) initproto.Task   { t.StopGraceMS = ms; return t }
func keeping(bytes int64, t initproto.Task) initproto.Task { t.LogTailBytes = bytes; return t }

func TestStartIsTold(t *testing.T) {
	t.Parallel()
	b := launch(t, script(awaitRelease))
	s := b.untilStarted()
	if s.Kernel != kernelLinux || s.PID < 2 || time.Since(s.At) > patience {
		t.Errorf("started %+v", s)
	}
	if data, err := os.ReadFile(b.path(initproto.StartedFile)); err != nil || !bytes.Contains(data, []byte(`"kernel":"linux"`)) {
		t.Errorf("the record of the start: %s %v", data, err)
	}
	b.release()
	b.end()
}

func TestStopAsksAndWaits(t *testing.T) {
	t.Parallel()
	tidy := "trap 'echo tidying; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
	for name, stop := range map[string]func(*box){
		"by a signal":      func(b *box) { b.signal(syscall.SIGTERM) },
		"over the gateway": func(b *box) { b.mu.Lock(); defer b.mu.Unlock(); b.node.stop = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := launch(t, script(tidy))
			b.untilSaid("ready")
			stop(b)
			code, record := b.end()
			if code != 7 || record.Reason != initproto.Stopped || record.Killed || !strings.Contains(b.text(), "tidying") {
				t.Errorf("code %d, record %+v, log %q", code, record, b.text())
			}
		})
	}
}

func TestStopKillsWhatIgnoresIt(t *testing.T) {
	t.Parallel()
	for name, program := range map[string]string{
		"ignoring":           "trap '' TERM; echo ready; while :; do sleep 0.05; done",
		"in a stopped state": "trap '' TERM; echo ready; kill -STOP $$; while :; do sleep 0.05; done",
		"leaving its group":  "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 1000' & echo ready; while :; do sleep 0.05; done",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := launch(t, graceful(300, script(program)))
			b.untilSaid("ready")
			b.signal(syscall.SIGTERM)
			code, record := b.end()
			if code != 137 || record.Reason != initproto.Stopped || !record.Killed || record.Signal != "SIGKILL" {
				t.Errorf("code %d, record %+v", code, record)
			}
		})
	}
}

func TestStopBeforeThereIsATask(t *testing.T) {
	t.Parallel()
	b := makeRoot(t, script("echo never"))
	silent, err := net.Listen("unix", filepath.Join(b.root, initproto.Socket))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	b.start()
	c, err := silent.Accept() // init is there, and waits for an answer
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b.signal(syscall.SIGTERM)
	if code, record := b.end(); code != 143 || record.Reason != initproto.Stopped || !record.StartedAt.IsZero() {
		t.Errorf("code %d, record %+v", code, record)
	}
}

func TestOtherSignalsAreForwarded(t *testing.T) {
	t.Parallel()
	b := launch(t, script("for s in INT HUP QUIT USR1 USR2 WINCH; do trap \"echo got $s\" $s; done; echo ready; "+awaitRelease))
	b.untilSaid("ready")
	for name, s := range map[string]syscall.Signal{
		"INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT,
		"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "WINCH": syscall.SIGWINCH,
	} {
		b.signal(s)
		b.untilSaid("got " + name)
	}
	b.release()
	if code, record := b.end(); code != 0 || record.Reason != initproto.Exited {
		t.Errorf("code %d, record %+v", code, record)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		program string
		orphans int
	}{
		"children":               {"sleep 1000 & sleep 1000 & echo started", 2},
		"daemons with the pipes": {"setsid sleep 1000 & (trap '' TERM HUP; sleep 1000) & echo started", 2},
		"stopped ones":           {"sleep 1000 & kill -STOP $!; echo started", 1},
		"a busy brood":           {"f() { sleep 0.01; f; }; for i in 1 2 3 4 5 6 7 8; do (while :; do sleep 0.01; done) & done; echo started", -1},
		"none":                   {"echo started", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := launch(t, script(c.program))
			code, record := b.end()
			if code != 0 || record.Reason != initproto.Exited || b.text() != "started\n" {
				t.Errorf("code %d, record %+v, log %q", code, record, b.text())
			}
			if c.orphans >= 0 && record.Orphans != c.orphans || c.orphans < 0 && record.Orphans < 8 {
				t.Errorf("%d orphans, want %d", record.Orphans, c.orphans)
			}
		})
	}
}

func TestGigabyteOfOutputIsBounded(t *testing.T) {
	t.Parallel()
	b := launch(t, keeping(1<<20, script("echo first; yes 0123456789abcdef | head -c 1000000000; echo; echo last")))
	code, record := b.end()
	if code != 0 || record.LogBytes < 1e9 || record.LogDropped == 0 {
		t.Fatalf("code %d, record %+v", code, record)
	}
	var kept, gaps int64
	records := b.records()
	for _, r := range records {
		gaps += r.Gap
	}
	if kept = record.LogBytes - gaps; gaps != record.LogDropped || records[len(records)-1].Next != record.LogBytes {
		t.Errorf("gaps of %d bytes, last offset %d, record %+v", gaps, records[len(records)-1].Next, record)
	}
	if kept < 1<<20 || kept > 2<<20 {
		t.Errorf("%d bytes are kept", kept)
	}
	if text := b.text(); !strings.HasPrefix(text, "first\n0123456789abcdef\n") || !strings.HasSuffix(text, "\nlast\n") {
		t.Errorf("the log begins %q and ends %q", text[:40], text[len(text)-40:])
	}
}

func TestOutputIsKeptAsItIs(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("z", 3*initproto.MaxLineBytes+5)
	b := launch(t, script(`printf 'a\377\000b\r\n'; printf '%s\n' `+long+`; printf wait; sleep 0.4; echo ed; echo err >&2`))
	if code, record := b.end(); code != 0 {
		t.Fatalf("record %+v", record)
	}
	if want := "a\xff\x00b\r\n" + long + "\nwaited\n"; b.text() != want {
		t.Errorf("log %q…, want %q…", clip(b.text()), clip(want))
	}
	var stderr, parts int
	for _, r := range b.records() {
		if r.Partial {
			parts++
		}
		if r.Stderr && string(r.Text) == "err" {
			stderr++
		}
	}
	if stderr != 1 || parts != 3+1 {
		t.Errorf("%d lines of stderr, %d parts of lines", stderr, parts)
	}
}

func clip(s string) string { return s[:min(len(s), 50)] }

func TestPartOfALineIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	b := launch(t, script("printf 'password: '; "+awaitRelease+"echo"))
	b.untilSaid("password: ")
	b.release()
	b.end()
	if b.text() != "password: \n" {
		t.Errorf("log %q", b.text())
	}
}

func TestControlFolderIsInHostileHands(t *testing.T) {
	t.Parallel()
	for name, program := range map[string]string{
		"full":               "cat /dev/zero > /symbi/control/x; yes | head -c 5000000",
		"full of files":      "for i in $(seq 1 200); do true > /symbi/control/$i; done; yes | head -c 5000000",
		"full by its result": "cat /dev/zero > /symbi/control/result.json",
		"shut":               "chmod 0 /symbi/control",
		"occupied": "cd /symbi/control; mkdir -p exit.json/a exit.json.new/b; chmod 0 exit.json/a exit.json.new; " +
			"for i in 1 2 3 4 5 6 7 8; do yes | head -c 100000; ln -s /dev/zero log.$i; done",
		"emptied":     "yes | head -c 1000000; rm -rf /symbi/control/*; yes | head -c 1000000",
		"with a FIFO": "mkfifo /symbi/control/exit.json.new /symbi/control/exit.json",
		"forged":      `echo '{"reason":"exited","code":55}' > /symbi/control/exit.json`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := launch(t, script("("+program+") 2>/dev/null; exit 9"))
			code, record := b.end()
			if code != 9 || record.Reason != initproto.Exited || record.Code != 9 {
				t.Errorf("code %d, record %+v", code, record)
			}
			if strings.HasSuffix(program, "5000000") && record.LogDropped == 0 {
				t.Errorf("nothing was dropped: %+v", record)
			}
		})
	}
}

func TestSilentGatewayEndsTheProgram(t *testing.T) {
	t.Parallel()
	b := launch(t, silence(1500, script("trap '' TERM; echo ready; while :; do sleep 0.05; done")))
	b.untilSaid("ready")
	b.untilAlive(b.node)
	if err := b.gateway.Close(); err != nil {
		t.Fatal(err)
	}
	code, record := b.end()
	if code != 137 || record.Reason != initproto.Fenced || record.Killed {
		t.Errorf("code %d, record %+v", code, record)
	}
	if lasted := record.EndedAt.Sub(record.StartedAt); lasted < 1500*time.Millisecond {
		t.Errorf("it ended after %v", lasted)
	}
}

func TestGatewayMadeAnewIsFoundAgain(t *testing.T) {
	t.Parallel()
	b := launch(t, silence(20_000, script("echo ready; "+awaitRelease+"echo done")))
	b.untilSaid("ready")
	for range 3 {
		if err := b.gateway.Close(); err != nil {
			t.Fatal(err)
		}
		n := newNode()
		b.gateway = openGateway(t, b.socketDir(), n, b.task)
		b.untilAlive(n)
		if len(n.started) > 0 {
			t.Error("the start was told twice")
		}
	}
	b.release()
	if code, record := b.end(); code != 0 || record.Reason != initproto.Exited || b.text() != "ready\ndone\n" {
		t.Errorf("code %d, record %+v, log %q", code, record, b.text())
	}
}

func TestFreezeDoesNotCountAsSilence(t *testing.T) {
	t.Parallel()
	const limit = 2500 * time.Millisecond
	b := launch(t, silence(limit.Milliseconds(), script("echo ready; "+awaitRelease+"echo done")))
	b.untilSaid("ready")
	b.untilAlive(b.node)
	if err := b.gateway.Close(); err != nil { // with its worker
		t.Fatal(err)
	}
	b.signal(syscall.SIGSTOP)
	<-time.After(limit + frozenAfter) // the time itself is what is tested
	n := newNode()
	openGateway(t, b.socketDir(), n, b.task)
	b.signal(syscall.SIGCONT)
	b.untilAlive(n)
	b.release()
	if code, record := b.end(); code != 0 || record.Reason != initproto.Exited {
		t.Errorf("code %d, record %+v", code, record)
	}
}

func TestGatewayThatComesLateIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := makeRoot(t, script("echo fine"))
	b.start()
	<-time.After(300 * time.Millisecond) // several attempts
	openGateway(t, b.socketDir(), b.node, b.task)
	if code, record := b.end(); code != 0 || b.text() != "fine\n" {
		t.Errorf("code %d, record %+v", code, record)
	}
}

func TestAgentInsideTheSandbox(t *testing.T) {
	t.Parallel()
	b := launch(t, script(`PATH=$PATH:/symbi/bin
		symbi-agent task | head -c 30; echo
		symbi-agent input big | wc -c
		symbi-agent progress 40 'nearly half'
		symbi-agent checkpoint get 2>&1; echo code $?
		echo state | symbi-agent checkpoint put && symbi-agent checkpoint get`))
	b.end()
	want := fmt.Sprintf("{\"namespace\":\"default\",\"agent\"\n%d\nsymbi-agent: no attempt of this task has kept a checkpoint yet (status 404)\ncode 4\nstate\n", 3<<20)
	if b.text() != want {
		t.Errorf("log %q, want %q", b.text(), want)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.progress) != 1 || b.progress[0].Percent != 40 || b.progress[0].Message != "nearly half" {
		t.Errorf("progress %+v", b.progress)
	}
}
