package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// agentUsage is what symbi-agent --help prints.
const agentUsage = `symbi-agent reaches the Symbi runtime from inside a sandbox.

  symbi-agent task                        print this task: names, attempt, parameters, inputs (JSON)
  symbi-agent input NAME                  write an input to stdout; it also lies at $SYMBI_INPUT/NAME
  symbi-agent progress PERCENT [MESSAGE]  say how far the work is (0 to 100; at most 10 a second)
  symbi-agent checkpoint put [FILE]       keep FILE, or stdin, for the next attempt (at most 1 MiB)
  symbi-agent checkpoint get              write what the last "checkpoint put" kept to stdout

Exit codes: 0 done, 1 failed, 2 invalid, 3 denied, 4 absent, 5 unavailable or too often.
`

// Exit codes of symbi-agent, the command line's own.
const (
	agentFailed      = 1
	agentInvalid     = 2
	agentDenied      = 3
	agentAbsent      = 4
	agentUnavailable = 5
)

const (
	// agentTimeout is how long an answer may take to begin. A runtime that
	// restarts is back sooner.
	agentTimeout = 30 * time.Second
	// agentRetry is how often to look for a gateway that is being made anew.
	agentRetry = 200 * time.Millisecond
	// maxCheckpoint is the gateway's bound; it is checked here for a clear word.
	maxCheckpoint = 1 << 20
)

// agentCall is one run of symbi-agent.
type agentCall struct {
	gateway *client
	in      io.Reader
	out     io.Writer
}

// usageError is a command that makes no sense.
type usageError string

func (e usageError) Error() string { return string(e) }

// agentMain runs symbi-agent and gives its exit code.
func agentMain(args []string, getenv func(string) string, in io.Reader, out, errs io.Writer) int {
	if len(args) == 0 || args[0] == "--help" || args[0] == "-h" || args[0] == "help" {
		w, code := out, 0
		if len(args) == 0 {
			w, code = errs, agentInvalid
		}
		fmt.Fprint(w, agentUsage)
		return code
	}
	socket := getenv("SYMBI_SOCKET")
	if socket == "" {
		fmt.Fprintln(errs, "symbi-agent: SYMBI_SOCKET is not set: this is not a Symbi sandbox; run the program with `symbi run` or `symbi agent run`")
		return agentUnavailable
	}
	c := &agentCall{gateway: &client{socket: socket}, in: in, out: out}
	defer c.gateway.close()
	err := c.run(args)
	if err == nil {
		return 0
	}
	fmt.Fprintln(errs, "symbi-agent:", err)
	return agentCode(err)
}

func (c *agentCall) run(args []string) error {
	switch name, rest := args[0], args[1:]; {
	case name == "task" && len(rest) == 0:
		return c.copy("/v1/task")
	case name == "input" && len(rest) == 1:
		return c.copy("/v1/inputs/" + url.PathEscape(rest[0]))
	case name == "progress" && (len(rest) == 1 || len(rest) == 2):
		return c.progress(rest)
	case name == "checkpoint" && len(rest) == 1 && rest[0] == "get":
		return c.copy("/v1/checkpoint")
	case name == "checkpoint" && (len(rest) == 1 || len(rest) == 2) && rest[0] == "put":
		return c.putCheckpoint(rest[1:])
	}
	return usageError(fmt.Sprintf("%q is not a command; see symbi-agent --help", strings.Join(args, " ")))
}

// copy writes what a route answers to stdout.
func (c *agentCall) copy(route string) error {
	a, err := c.send("GET", route, "", nil)
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for left := a.length; left > 0; {
		if err := c.gateway.conn.SetDeadline(time.Now().Add(agentTimeout)); err != nil {
			return err
		}
		n, err := a.body.Read(buf)
		if n > 0 {
			if _, err := c.out.Write(buf[:n]); err != nil {
				return fmt.Errorf("write to stdout: %w", err)
			}
		}
		if left -= int64(n); left > 0 && err != nil {
			return fmt.Errorf("%s broke off, %d bytes are missing: %w", route, left, err)
		}
	}
	return nil
}

func (c *agentCall) progress(args []string) error {
	percent, err := strconv.ParseFloat(strings.TrimSuffix(args[0], "%"), 64)
	if err != nil || !(percent >= 0 && percent <= 100) {
		return usageError(fmt.Sprintf("%q is not a percentage from 0 to 100", args[0]))
	}
	doc := struct {
		Percent float64 `json:"percent"`
		Message string  `json:"message,omitempty"`
	}{Percent: percent}
	if len(args) > 1 {
		doc.Message = args[1]
	}
	return c.gateway.do("POST", "/v1/progress", doc, nil, agentTimeout)
}

func (c *agentCall) putCheckpoint(args []string) error {
	from := c.in
	if len(args) == 1 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return usageError(err.Error())
		}
		defer f.Close()
		from = f
	}
	data, err := io.ReadAll(io.LimitReader(from, maxCheckpoint+1))
	if err != nil {
		return fmt.Errorf("read the checkpoint: %w", err)
	}
	if len(data) > maxCheckpoint {
		return usageError(fmt.Sprintf("the checkpoint has more than %d bytes; keep what is needed to go on, not the data", maxCheckpoint))
	}
	a, err := c.send("PUT", "/v1/checkpoint", "application/octet-stream", data)
	if err != nil {
		return err
	}
	_, err = c.gateway.readAll(a)
	return err
}

// send makes a call; while nothing answers at the socket it tries again, for
// the runtime may be starting anew.
func (c *agentCall) send(method, route, mediaType string, body []byte) (*answer, error) {
	deadline := time.Now().Add(agentTimeout)
	for {
		a, err := c.gateway.call(method, route, mediaType, body, time.Until(deadline))
		var refused *refusal
		if err == nil || errors.As(err, &refused) || time.Until(deadline) < agentRetry {
			return a, err
		}
		time.Sleep(agentRetry)
	}
}

// agentCode maps an error to an exit code.
func agentCode(err error) int {
	var usage usageError
	if errors.As(err, &usage) {
		return agentInvalid
	}
	var refused *refusal
	if !errors.As(err, &refused) {
		var broken *net.OpError
		if errors.As(err, &broken) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return agentUnavailable
		}
		return agentFailed
	}
	switch refused.status {
	case 400, 405, 413, 416, 422:
		return agentInvalid
	case 401, 403:
		return agentDenied
	case 404, 409:
		return agentAbsent
	case 429, 501, 503:
		return agentUnavailable
	}
	return agentFailed
}
