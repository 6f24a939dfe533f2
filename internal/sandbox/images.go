package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"

	"symbi.dev/symbi/agent"
)

// Image is what a program's image says of itself.
type Image struct {
	Ref        string       // as the manifest names it
	ID         string       // of its configuration; what the container is made of
	Digest     agent.Digest // of its manifest in a registry, or the ID where it came from none
	Entrypoint []string
	Cmd        []string
	Env        []string
	WorkingDir string
	Volumes    []string // folders that the image wants to be writable
}

// Bounds of dealing with images.
const (
	// imageMemory is how long an answer of the engine is believed, so that a
	// burst of tasks asks once, and a tag that was moved is soon noticed.
	imageMemory = 3 * time.Second
	// pullTimeout bounds the fetching of one image, pullSilence how long
	// nothing may arrive meanwhile.
	pullTimeout = 15 * time.Minute
	pullSilence = time.Minute
	// maxVolumes bounds the folders that an image may want writable.
	maxVolumes = 16
)

// imageCache remembers answers of the engine for a short while.
type imageCache struct {
	mu    sync.Mutex
	known map[string]knownImage
}

type knownImage struct {
	image Image
	until time.Time
}

func (c *imageCache) get(ref string, now time.Time) (Image, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.known[ref]
	return k.image, ok && now.Before(k.until)
}

func (c *imageCache) put(img Image, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ref, k := range c.known {
		if !now.Before(k.until) {
			delete(c.known, ref)
		}
	}
	if c.known == nil {
		c.known = map[string]knownImage{}
	}
	c.known[img.Ref] = knownImage{img, now.Add(imageMemory)}
}

func (c *imageCache) forget(ref string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, ref)
}

// ResolveImage finds a program's image on the node, and fetches it as its pull
// rule says. Its errors are of type *agent.Failure.
func (d *Driver) ResolveImage(ctx context.Context, c agent.Container) (Image, error) {
	if c.Pull == agent.PullAlways {
		if err := d.pull(ctx, c.Image); err != nil {
			return Image{}, err
		}
	}
	img, err := d.inspectImage(ctx, c.Image)
	if !cerrdefs.IsNotFound(err) {
		return img, d.imageError(c.Image, err)
	}
	if c.Pull == agent.PullNever {
		return Image{}, &agent.Failure{
			Class: agent.FailDependency, Code: agent.CodeImageMissing,
			Cause:    fmt.Sprintf("the image %s is not on node %s, and its pull rule is never", c.Image, d.cfg.Node),
			NextStep: "put it there (docker pull or docker load), or set pull: missing; then `symbi task retry`",
		}
	}
	if err := d.pull(ctx, c.Image); err != nil {
		return Image{}, err
	}
	img, err = d.inspectImage(ctx, c.Image)
	return img, d.imageError(c.Image, err)
}

// Present reports whether a program's image can be used without fetching it.
func (d *Driver) Present(ctx context.Context, c agent.Container) (bool, error) {
	if c.Pull == agent.PullAlways {
		return false, nil
	}
	_, err := d.inspectImage(ctx, c.Image)
	if cerrdefs.IsNotFound(err) {
		if c.Pull == agent.PullNever {
			_, err = d.ResolveImage(ctx, c)
			return false, err
		}
		return false, nil
	}
	return err == nil, d.imageError(c.Image, err)
}

// Fetch gets a program's image onto the node, as its pull rule says. It may
// take minutes. Its errors are of type *agent.Failure.
func (d *Driver) Fetch(ctx context.Context, c agent.Container) error {
	_, err := d.ResolveImage(ctx, c)
	return err
}

// programImage is the image of a program of either kind.
func (d *Driver) programImage(ctx context.Context, p agent.Program) (Image, error) {
	if p.Container != nil {
		return d.ResolveImage(ctx, *p.Container)
	}
	ref := d.cfg.Images[p.Script.Language]
	img, err := d.inspectImage(ctx, ref)
	if cerrdefs.IsNotFound(err) {
		return Image{}, &agent.Failure{
			Class: agent.FailDependency, Code: agent.CodeImageMissing,
			Cause:    fmt.Sprintf("the image %s, which runs %s scripts, is not on node %s", ref, p.Script.Language, d.cfg.Node),
			NextStep: "run deploy/setup.sh on that node, which builds it; then `symbi task retry`",
		}
	}
	return img, d.imageError(ref, err)
}

// inspectImage asks the engine, or the cache.
func (d *Driver) inspectImage(ctx context.Context, ref string) (Image, error) {
	if img, ok := d.images.get(ref, d.cfg.Now()); ok {
		return img, nil
	}
	ctx, cancel := engineCall(ctx)
	defer cancel()
	r, err := d.engine.ImageInspect(ctx, ref)
	if err != nil {
		return Image{}, err
	}
	img := Image{Ref: ref, ID: r.ID, Digest: agent.Digest(r.ID)}
	for _, named := range r.RepoDigests {
		if _, digest, ok := strings.Cut(named, "@"); ok && agent.Digest(digest).Valid() {
			img.Digest = agent.Digest(digest)
			break
		}
	}
	if c := r.Config; c != nil {
		img.Entrypoint, img.Cmd, img.Env, img.WorkingDir = c.Entrypoint, c.Cmd, c.Env, c.WorkingDir
		img.Volumes = slices.Sorted(maps.Keys(c.Volumes))
	}
	d.images.put(img, d.cfg.Now())
	return img, nil
}

// imageError makes a failure of an error of the engine about an image.
func (d *Driver) imageError(ref string, err error) error {
	switch {
	case err == nil:
		return nil
	case silent(err):
		return d.engineFailure("look for the image "+ref, "", err)
	case cerrdefs.IsInvalidArgument(err), cerrdefs.IsNotFound(err):
		return imageMissing(ref, err)
	}
	return fmt.Errorf("look for the image %s: %w", ref, err)
}

func imageMissing(ref string, err error) *agent.Failure {
	return &agent.Failure{
		Class: agent.FailDependency, Code: agent.CodeImageMissing,
		Cause: fmt.Sprintf("the image %s cannot be had: %v", ref, err),
		NextStep: "check its name and that its registry can be reached from the node, or load it there (docker load) and set pull: never; " +
			"then `symbi task retry`",
	}
}

// pull has the engine fetch an image.
func (d *Driver) pull(outer context.Context, ref string) error {
	ctx, cancel := context.WithTimeoutCause(outer, pullTimeout, fmt.Errorf("it took longer than %s", pullTimeout))
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	patience := time.AfterFunc(pullSilence, func() { giveUp(fmt.Errorf("nothing arrived for %s", pullSilence)) })
	defer patience.Stop()
	d.images.forget(ref)
	stream, err := d.engine.ImagePull(ctx, ref, image.PullOptions{})
	if err == nil {
		err = errors.Join(readProgress(stream, func() { patience.Reset(pullSilence) }), stream.Close())
	}
	if outer.Err() != nil {
		return context.Cause(outer)
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	switch {
	case err == nil:
		return nil
	case silent(err):
		return d.engineFailure("fetch the image "+ref, "", err)
	}
	return imageMissing(ref, err)
}

// readProgress reads what the engine says while it fetches, and returns the
// error that it names at the end, if any.
func readProgress(r io.Reader, alive func()) error {
	dec := json.NewDecoder(r)
	for {
		var line struct {
			Error string `json:"error"`
		}
		err := dec.Decode(&line)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case line.Error != "":
			return errors.New(line.Error)
		}
		alive()
	}
}
