package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	maxAnswer     = 4 << 20 // of a document; inputs are streamed and have no bound
	maxHeaderLine = 8 << 10
	maxHeaders    = 64
)

// client speaks HTTP/1.1 over the gateway's socket, one call at a time, on one
// connection that it keeps. It understands what the gateway says and no more:
// every answer has a length. Package net/http would triple the binary.
type client struct {
	socket string
	conn   net.Conn
	r      *bufio.Reader
}

// answer is a response whose body is not read yet.
type answer struct {
	status int
	length int64
	body   io.Reader
}

// refusal is an answer other than 2xx.
type refusal struct {
	status int
	detail string
}

func (r *refusal) Error() string { return fmt.Sprintf("%s (status %d)", r.detail, r.status) }

// do makes one call: it sends a document, unless that is nil, and reads one
// into out, unless that is nil.
func (c *client) do(method, route string, in, out any, timeout time.Duration) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("write %s: %w", route, err)
		}
	}
	a, err := c.call(method, route, "application/json", body, timeout)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, route, err)
	}
	data, err := c.readAll(a)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, route, err)
	}
	if out == nil || len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("read the answer to %s %s: %w", method, route, err)
	}
	return nil
}

// call sends a request and gives the answer, of which the caller must read the
// body. A refusal is an error. A connection that was kept and turns out to be
// closed, as after a freeze or by a gateway made anew, is made once more.
func (c *client) call(method, route, mediaType string, body []byte, timeout time.Duration) (*answer, error) {
	deadline := time.Now().Add(timeout)
	kept := c.conn != nil
	a, err := c.try(method, route, mediaType, body, deadline)
	if err != nil && kept && time.Now().Before(deadline) {
		a, err = c.try(method, route, mediaType, body, deadline)
	}
	if err != nil {
		return nil, err
	}
	if a.status/100 != 2 {
		return nil, c.refused(a)
	}
	return a, nil
}

func (c *client) try(method, route, mediaType string, body []byte, deadline time.Time) (a *answer, err error) {
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.conn == nil {
		d := net.Dialer{Deadline: deadline}
		if c.conn, err = d.Dial("unix", c.socket); err != nil {
			return nil, err
		}
		c.r = bufio.NewReaderSize(c.conn, maxHeaderLine)
	}
	if err = c.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: gateway\r\n", method, route)
	if body != nil {
		fmt.Fprintf(&b, "Content-Type: %s\r\nContent-Length: %d\r\n", mediaType, len(body))
	}
	b.WriteString("\r\n")
	b.Write(body)
	if _, err = c.conn.Write(b.Bytes()); err != nil {
		return nil, err
	}
	return c.readHead()
}

// readHead reads the status and the headers of an answer.
func (c *client) readHead() (*answer, error) {
	line, err := c.readLine()
	if err != nil {
		return nil, err
	}
	version, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	a := &answer{length: -1}
	if a.status, err = strconv.Atoi(code); err != nil || version != "HTTP/1.1" {
		return nil, errors.New("what listens there is not the gateway: it answers without HTTP/1.1")
	}
	for range maxHeaders {
		if line, err = c.readLine(); err != nil {
			return nil, err
		}
		if line == "" {
			if a.length < 0 && a.status != 204 {
				return nil, errors.New("the gateway's answer has no length")
			}
			a.length = max(a.length, 0)
			a.body = io.LimitReader(c.r, a.length)
			return a, nil
		}
		key, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(key, "Content-Length") {
			if a.length, err = strconv.ParseInt(strings.TrimSpace(value), 10, 64); err != nil || a.length < 0 {
				return nil, fmt.Errorf("the gateway's answer has the length %q", value)
			}
		}
	}
	return nil, fmt.Errorf("the gateway's answer has more than %d headers", maxHeaders)
}

func (c *client) readLine() (string, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// readAll reads the body of a document.
func (c *client) readAll(a *answer) ([]byte, error) {
	if a.length > maxAnswer {
		c.close()
		return nil, fmt.Errorf("the gateway's answer has %d bytes, more than %d", a.length, maxAnswer)
	}
	data := make([]byte, a.length)
	if _, err := io.ReadFull(a.body, data); err != nil {
		c.close()
		return nil, fmt.Errorf("read the gateway's answer: %w", err)
	}
	return data, nil
}

// refused makes an error of an answer other than 2xx: of its problem's detail,
// if it has one.
func (c *client) refused(a *answer) error {
	var problem struct{ Title, Detail string }
	data, err := c.readAll(a)
	if err == nil {
		err = json.Unmarshal(data, &problem)
	}
	detail := problem.Detail
	if detail == "" {
		detail = problem.Title
	}
	if err != nil || detail == "" {
		detail = "the gateway refuses"
	}
	return &refusal{a.status, detail}
}

// close ends the connection; the next call makes another.
func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn, c.r = nil, nil
	}
}
