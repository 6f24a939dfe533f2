package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"symbi.dev/symbi/internal/sandbox/initproto"
)

func TestKernelIsJudgedByTwoSignsOfThree(t *testing.T) {
	t.Parallel()
	const release, log = "4.19.0-gvisor", "<6>[    0.000000] Starting gVisor...\n<6>[    0.1] More"
	for name, c := range map[string]struct {
		signs signs
		want  string
	}{
		"gVisor":                            {signs{release, log, true}, kernelGVisor},
		"gVisor under another release":      {signs{"6.1.0", log, true}, kernelGVisor},
		"gVisor without a log":              {signs{release, "", true}, kernelGVisor},
		"gVisor without its folder":         {signs{release, log, false}, kernelGVisor},
		"Linux":                             {signs{"6.1.0-18-amd64", "", false}, kernelLinux},
		"Linux with a telling name":         {signs{release, "", false}, kernelLinux},
		"Linux that speaks of it somewhere": {signs{"6.1.0", "<6>[ 0.0] Linux\n" + log, false}, kernelLinux},
	} {
		if got := c.signs.verdict(); got != c.want {
			t.Errorf("%s is taken for %s", name, got)
		}
	}
	if s := readSigns(); s.release == "" {
		t.Error("this kernel shows no release")
	}
}

func TestProcessLimitIsSetInGVisorOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		asked  uint64
		kernel string
		want   uint64
	}{{100, kernelGVisor, 100 + ownThreads}, {0, kernelGVisor, 0}, {100, kernelLinux, 0}} {
		if got := processLimit(initproto.Task{MaxProcesses: c.asked}, c.kernel); got != c.want {
			t.Errorf("%d on %s: %d, want %d", c.asked, c.kernel, got, c.want)
		}
	}
}

// answerWith serves a socket that answers each request with the next text.
func answerWith(t *testing.T, texts ...string) string {
	t.Helper()
	socket := filepath.Join(shortDir(t), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, text := range texts {
			c, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 64<<10)
			if _, err := c.Read(buf); err == nil {
				_, _ = c.Write([]byte(text))
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return socket
}

func TestClientUnderstandsOnlyTheGateway(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ answer, want string }{
		"an answer":         {"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"stop\":true}", ""},
		"an empty one":      {"HTTP/1.1 204 No Content\r\n\r\n", ""},
		"a problem":         {"HTTP/1.1 404 Not Found\r\nContent-Length: 18\r\n\r\n{\"detail\":\"no go\"}", "no go (status 404)"},
		"a bare refusal":    {"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "the gateway refuses (status 500)"},
		"no length":         {"HTTP/1.1 200 OK\r\n\r\nhello", "no length"},
		"a bad length":      {"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n", `length " -4"`},
		"too much":          {"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "more than"},
		"too little":        {"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}", "unexpected EOF"},
		"no JSON":           {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "read the answer"},
		"another protocol":  {"SSH-2.0-OpenSSH_9\r\n", "what listens there is not the gateway"},
		"an endless line":   {"HTTP/1.1 200 " + strings.Repeat("x", 10_000) + "\r\n\r\n", "buffer full"},
		"endless headers":   {"HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 100), "more than 64 headers"},
		"nothing, and ends": {"", "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var reply initproto.AliveReply
			err := (&client{socket: answerWith(t, c.answer)}).do("GET", "/x", nil, &reply, time.Minute)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestClientMakesAClosedConnectionAnew(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 204 No Content\r\n\r\n"
	c := &client{socket: answerWith(t, ok, ok)}
	for range 2 { // the connection is closed after each answer
		if err := c.do("POST", "/x", struct{}{}, nil, time.Minute); err != nil {
			t.Error(err)
		}
	}
}

func TestAgentCommandLine(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	n := newNode()
	openGateway(t, dir, n, initproto.Task{})
	socket := filepath.Join(dir, "agent.sock")
	state := filepath.Join(dir, "state")
	if err := os.WriteFile(state, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   string
		in     string
		socket string
		code   int
		out    string
		errs   string
	}{
		{args: "--help", code: 0, out: "symbi-agent checkpoint put [FILE]"},
		{args: "", code: 2, errs: "Exit codes"},
		{args: "task", socket: "-", code: 5, errs: "SYMBI_SOCKET is not set"},
		{args: "frobnicate", code: 2, errs: `"frobnicate" is not a command; see symbi-agent --help`},
		{args: "task now", code: 2, errs: "is not a command"},
		{args: "task", code: 0, out: `"agent":"a"`},
		{args: "input big", code: 0, out: strings.Repeat("big", 1<<20)},
		{args: "input a b", code: 2, errs: "is not a command"},
		{args: "input other", code: 4, errs: "no input of that name (status 404)"},
		{args: "input ../task", code: 4, errs: "has no such path"},
		{args: "progress", code: 2},
		{args: "progress much", code: 2, errs: `"much" is not a percentage from 0 to 100`},
		{args: "progress 101", code: 2},
		{args: "progress NaN", code: 2},
		{args: "progress 50% half", code: 0},
		{args: "progress 50 " + strings.Repeat("x", 2000), code: 2, errs: "may have 1024"},
		{args: "checkpoint get", code: 4, errs: "no attempt of this task has kept a checkpoint yet"},
		{args: "checkpoint put", in: "state", code: 0},
		{args: "checkpoint get", code: 0, out: "state"},
		{args: "checkpoint put -", in: "", code: 0},
		{args: "checkpoint put " + state, code: 0},
		{args: "checkpoint get", code: 0, out: "from a file"},
		{args: "checkpoint put /no/file", code: 2, errs: "no such file"},
		{args: "checkpoint put", in: strings.Repeat("x", maxCheckpoint+1), code: 2, errs: "more than 1048576 bytes"},
		{args: "checkpoint drop", code: 2},
	} {
		getenv := func(string) string { return socket }
		if c.socket != "" {
			getenv = func(string) string { return "" }
		}
		var out, errs bytes.Buffer
		code := agentMain(strings.Fields(c.args), getenv, strings.NewReader(c.in), &out, &errs)
		if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.errs) {
			t.Errorf("symbi-agent %s: code %d, out %q, errors %q", clip(c.args), code, clip(out.String()), errs.String())
		}
	}
	if len(n.progress) != 1 || n.progress[0].Percent != 50 || n.progress[0].Message != "half" {
		t.Errorf("progress %+v", n.progress)
	}
}

func TestInitRunsAsProcessOneOnly(t *testing.T) {
	t.Parallel()
	binary, err := initBinary()
	if err != nil {
		t.Fatal(err)
	}
	b := &bytes.Buffer{}
	cmd := commandOf(binary, b)
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 2 || !strings.Contains(b.String(), "symbi-agent") {
		t.Errorf("%v: %s", err, b)
	}
}
