package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"symbi.dev/symbi/agent"
)

// Upload puts a file into the blob store, unless it is there, and gives its
// digest. sent is called with the bytes that went out so far; it may be nil.
func (c *Conn) Upload(ctx context.Context, path string, sent func(done, of int64)) (agent.Digest, int64, error) {
	digest, size, err := digestFile(path)
	if err != nil {
		return "", 0, err
	}
	resp, err := c.api.HeadBlob(ctx, string(digest))
	if err != nil {
		return "", 0, c.unreachable(err)
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return digest, size, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", 0, agent.Errorf(agent.ErrInvalid, "open %s: %w", path, err)
	}
	defer f.Close()
	body := &counted{r: f, of: size, sent: sent}
	resp, err = c.api.PutBlobWithBody(ctx, string(digest), "application/octet-stream", body, func(_ context.Context, r *http.Request) error {
		r.ContentLength = size
		return nil
	})
	_, err = answer[Blob](c, resp, err)
	return digest, size, err
}

// digestFile hashes a file.
func digestFile(path string) (agent.Digest, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, agent.Errorf(agent.ErrInvalid, "open %s: %w", path, err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return "", 0, agent.Errorf(agent.ErrInvalid, "read %s: %w", path, err)
	}
	return agent.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))), n, nil
}

// counted tells how much of a body went out.
type counted struct {
	r        io.Reader
	done, of int64
	sent     func(done, of int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.done += int64(n)
	if c.sent != nil {
		c.sent(c.done, c.of)
	}
	return n, err
}

// Download writes an artifact below dir, at its own path. The path is the work
// of somebody else's program: it cannot lead out of dir, not by a link either.
func (c *Conn) Download(ctx context.Context, ns agent.Namespace, id agent.TaskID, a agent.Artifact, dir string) error {
	name := filepath.FromSlash(a.Path)
	if !filepath.IsLocal(name) {
		return agent.Errorf(agent.ErrInvalid, "artifact %q would lie outside %s", a.Path, dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer root.Close()
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("make the folder of %s: %w", a.Path, err)
	}
	path := "/v1/namespaces/" + url.PathEscape(string(ns)) + "/tasks/" + url.PathEscape(string(id)) + "/artifacts/"
	u := url.URL{Path: path + a.Path}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server+u.EscapedPath(), nil)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", a.Path, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, err := io.ReadAll(resp.Body)
		return errors.Join(problemError(resp, body), err)
	}
	out, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", a.Path, err)
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, h), resp.Body)
	err = errors.Join(err, out.Close())
	if got := agent.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))); err == nil && got != a.Digest {
		err = fmt.Errorf("it arrived damaged: its digest is %s, not %s", got, a.Digest)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", a.Path, err), root.Remove(name))
	}
	return nil
}
