package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/client"
)

// readManifest reads a manifest's file. The file of its script is looked for
// beside it.
func readManifest(path string) (*agent.Manifest, error) {
	var source []byte
	var err error
	if path == "-" {
		source, err = io.ReadAll(io.LimitReader(os.Stdin, agent.MaxManifestBytes+1))
	} else {
		source, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, agent.Errorf(agent.ErrInvalid, "read the manifest: %w", err)
	}
	m, _, err := agent.Parse(source)
	if err != nil {
		return nil, &fileError{file: path, err: err}
	}
	return m, nil
}

// uploadScript uploads the file of a manifest's script and puts its digest into
// the manifest.
func (c *cli) uploadScript(ctx context.Context, conn *client.Conn, m *agent.Manifest, manifestPath string) error {
	s := m.Program.Script
	if s == nil || s.File == "" {
		return nil
	}
	path := filepath.Join(filepath.Dir(manifestPath), filepath.FromSlash(s.File))
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return &fileError{file: manifestPath, err: agent.InvalidFields("manifest", []agent.FieldError{{
			Path: "program.script.file", Line: 1, Message: "there is no file " + path,
		}})}
	}
	digest, _, err := conn.Upload(ctx, path, c.progress("uploading "+s.File))
	if err != nil {
		return err
	}
	if s.Digest != "" && s.Digest != digest {
		return &fileError{file: manifestPath, err: agent.InvalidFields("manifest", []agent.FieldError{{
			Path: "program.script.digest", Line: 1, Message: "says " + string(s.Digest) + " and the file's is " + string(digest),
		}})}
	}
	s.Digest = digest
	return nil
}

// put creates the manifest's agent, or updates it if it differs. It reports
// what it did.
func (c *cli) put(ctx context.Context, conn *client.Conn, m *agent.Manifest, dry bool) (client.Agent, string, error) {
	ref := agent.Ref{Namespace: m.Namespace, Name: m.Name}
	current, err := conn.Agent(ctx, ref)
	if errors.Is(err, agent.ErrNotFound) || err == nil && current.State == agent.Terminated {
		created, err := conn.CreateAgent(ctx, m.Namespace, m.YAML(), dry)
		return created, "created", err
	}
	if err != nil {
		return current, "", err
	}
	if current.State == agent.Failed {
		return current, "", agent.Errorf(agent.ErrConflict, "agent %s has failed (%s); terminate it with `symbi agent terminate %s` and apply again",
			ref, current.Failure.Cause, ref.Name)
	}
	if bytes.Equal(current.Manifest, m.Canonical()) {
		return current, "unchanged", nil
	}
	updated, err := conn.UpdateAgent(ctx, ref, m.YAML(), current.ManifestVersion, dry)
	what := "updated"
	if updated.ManifestVersion == current.ManifestVersion {
		what = "unchanged"
	}
	return updated, what, err
}

// warn prints what the server warned of.
func (c *cli) warn(a client.Agent) {
	for _, w := range a.Warnings {
		c.note("warning: %s: %s", w.Path, w.Message)
	}
}
