package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox/initproto"
)

// maxInitBody is beyond anything that init says.
const maxInitBody = 16 << 10

// getInitTask tells init what to do. It answers as often as it is asked: a
// program learns nothing from it that it does not have in its environment.
func (g *Gateway) getInitTask(w http.ResponseWriter, _ *http.Request, _ string) error {
	writeJSON(w, http.StatusOK, "application/json", g.cfg.Init)
	return nil
}

func (g *Gateway) postStarted(w http.ResponseWriter, r *http.Request, _ string) error {
	var s initproto.Started
	if err := readJSON(w, r, maxInitBody, &s); err != nil {
		return err
	}
	g.cfg.Says.Started(s)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (g *Gateway) postAlive(w http.ResponseWriter, r *http.Request, _ string) error {
	var a initproto.Alive
	if err := readJSON(w, r, maxInitBody, &a); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, "application/json", g.cfg.Says.Alive(a))
	return nil
}

func (g *Gateway) postExited(w http.ResponseWriter, r *http.Request, _ string) error {
	var e initproto.Exit
	if err := readJSON(w, r, maxInitBody, &e); err != nil {
		return err
	}
	g.cfg.Says.Exited(e)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// readJSON reads a body that is one JSON document. Init's may have fields that
// this version does not know; a program's are spelled wrong then.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64, into any) error {
	data, err := readBody(w, r, limit)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if _, strict := into.(*progressDoc); strict {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(into); err != nil {
		return agent.Errorf(agent.ErrInvalid, "the body is not the JSON document that is expected here: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return agent.Errorf(agent.ErrInvalid, "more follows the JSON document")
	}
	return nil
}
