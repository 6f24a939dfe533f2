package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"symbi.dev/symbi/agent"
)

// Bounds of what a program may say.
const (
	// MaxCheckpoint is the size of a checkpoint, in bytes.
	MaxCheckpoint      = 1 << 20
	maxProgressBody    = 4 << 10
	maxProgressMessage = 1 << 10
	progressPerSecond  = 10
	// A checkpoint costs the blob store a write.
	savesPerSecond = 1
	savesBurst     = 5
	// piecesPerSecond bounds what it costs the node when a program reads its
	// inputs over and over: pieces have 32 KiB, which makes 64 MiB a second.
	// The same content lies in $SYMBI_INPUT, where reading it costs no one else.
	piecesPerSecond = 2048
)

// getTask tells the program its task.
func (g *Gateway) getTask(w http.ResponseWriter, _ *http.Request, _ string) error {
	writeJSON(w, http.StatusOK, "application/json", g.cfg.Task)
	return nil
}

// getInput gives an input, whole or a range of it.
func (g *Gateway) getInput(w http.ResponseWriter, r *http.Request, name string) error {
	i := slices.IndexFunc(g.cfg.Task.Inputs, func(in Input) bool { return in.Name == name })
	if i < 0 {
		return agent.Errorf(agent.ErrNotFound, "this task has no input of that name")
	}
	in := g.cfg.Task.Inputs[i]
	content, err := g.cfg.OpenInput(r.Context(), name)
	if err != nil {
		return fmt.Errorf("open input %s: %w", name, err)
	}
	defer content.Close()
	w.Header().Set("Content-Type", cmp.Or(in.MediaType, "application/octet-stream"))
	if in.Digest != "" {
		w.Header().Set("ETag", strconv.Quote(string(in.Digest)))
	}
	// There is no body to wait for, and the answer may take longer than one may.
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("send input %s: %w", name, err)
	}
	http.ServeContent(&paced{w, r, g.inputs}, r, "", time.Time{}, content)
	return nil
}

// paced writes a body piece by piece, no faster than a sandbox may have it.
type paced struct {
	http.ResponseWriter
	r    *http.Request
	pace *pace
}

// Write writes one piece in its turn.
func (p *paced) Write(b []byte) (int, error) {
	if err := p.pace.wait(p.r.Context(), writeIdle); err != nil {
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}

// progressDoc is the body of POST /v1/progress.
type progressDoc struct {
	Percent *float64 `json:"percent"`
	Message string   `json:"message"`
}

// postProgress notes how far the program is.
func (g *Gateway) postProgress(w http.ResponseWriter, r *http.Request, _ string) error {
	var doc progressDoc
	if err := readJSON(w, r, maxProgressBody, &doc); err != nil {
		return err
	}
	switch {
	case doc.Percent == nil:
		return agent.Errorf(agent.ErrInvalid, `percent is missing; send {"percent": 40, "message": "…"}`)
	case *doc.Percent < 0 || *doc.Percent > 100:
		return agent.Errorf(agent.ErrInvalid, "percent is %g, and must be from 0 to 100", *doc.Percent)
	case len(doc.Message) > maxProgressMessage:
		return agent.Errorf(agent.ErrInvalid, "message has %d bytes, and may have %d", len(doc.Message), maxProgressMessage)
	}
	now := g.cfg.Now()
	if _, ok := g.progress.reserve(time.Now(), 0); !ok {
		return agent.Errorf(agent.ErrExhausted, "progress may be told %d times a second", progressPerSecond)
	}
	g.cfg.OnProgress(r.Context(), Progress{Percent: *doc.Percent, Message: oneLine(doc.Message), At: now})
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// oneLine makes a program's words fit for a person's terminal: whatever moves
// a cursor or changes a colour becomes a space.
func oneLine(s string) string {
	const joiner = '\u200d' // holds emoji together
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == joiner {
			return r
		}
		return ' '
	}, s))
}

// getCheckpoint gives what was kept last.
func (g *Gateway) getCheckpoint(w http.ResponseWriter, r *http.Request, _ string) error {
	data, err := g.cfg.Checkpoints.Load(r.Context())
	if errors.Is(err, agent.ErrNotFound) {
		return agent.Errorf(agent.ErrNotFound, "no attempt of this task has kept a checkpoint yet")
	}
	if err != nil {
		return fmt.Errorf("load the checkpoint: %w", err)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // whoever does not read it is gone
	return nil
}

// putCheckpoint keeps what the next attempt is to have. One is taken at a
// time, so that a sandbox costs the memory of one.
func (g *Gateway) putCheckpoint(w http.ResponseWriter, r *http.Request, _ string) error {
	select {
	case g.saving <- struct{}{}:
		defer func() { <-g.saving }()
	default:
		return agent.Errorf(agent.ErrExhausted, "another checkpoint is being kept; wait for its answer")
	}
	if r.ContentLength > MaxCheckpoint {
		return tooLarge("checkpoint", MaxCheckpoint)
	}
	data, err := readBody(w, r, MaxCheckpoint)
	if errors.Is(err, errTooLarge) {
		return tooLarge("checkpoint", MaxCheckpoint)
	}
	if err != nil {
		return err
	}
	if _, ok := g.saves.reserve(time.Now(), 0); !ok {
		return agent.Errorf(agent.ErrExhausted, "a checkpoint may be kept once a second, and %d times in a row", savesBurst)
	}
	if err := g.cfg.Checkpoints.Save(r.Context(), data); err != nil {
		return fmt.Errorf("keep the checkpoint: %w", err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// readBody reads a body of bounded size.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return nil, tooLarge("body", limit)
	}
	if err != nil {
		return nil, agent.Errorf(agent.ErrInvalid, "the body broke off: %w", err)
	}
	return data, nil
}

func tooLarge(what string, limit int64) error {
	return &agent.Error{Kind: errTooLarge, Message: fmt.Sprintf("the %s has more than %d bytes", what, limit)}
}
