package blob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"symbi.dev/symbi/agent"
)

// Cache keeps a node's copies of blobs, so that a task's inputs are linked
// into its folder rather than copied. The least recently used go first when
// it is full; a link that was given out stays whole.
type Cache struct {
	store *Store
	dir   string
	max   int64 // bytes
	fetch singleflight.Group

	mu sync.Mutex // of sweeping
}

// NewCache keeps at most max bytes in dir.
func NewCache(store *Store, dir string, max int64) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the blob cache: %w", err)
	}
	return &Cache{store: store, dir: dir, max: max}, nil
}

// Materialize puts a blob at dest as a file that nobody can write, linked to
// the cache's copy where the file system allows it.
func (c *Cache) Materialize(ctx context.Context, d agent.Digest, dest string) error {
	for range 2 {
		path, err := c.ensure(ctx, d)
		if err != nil {
			return err
		}
		err = os.Link(path, dest)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, fs.ErrNotExist):
			continue // swept in between
		default:
			return copyFile(path, dest)
		}
	}
	return agent.Errorf(agent.ErrExhausted, "the blob cache in %s is too small for what runs at once", c.dir)
}

// ensure fetches a blob unless it is there. Several who want one blob wait
// for one fetch.
func (c *Cache) ensure(ctx context.Context, d agent.Digest) (string, error) {
	if !d.Valid() {
		return "", agent.Errorf(agent.ErrInvalid, "%q is not a digest", d)
	}
	path := filepath.Join(c.dir, d.Hex())
	_, err, _ := c.fetch.Do(string(d), func() (any, error) {
		now := time.Now()
		if os.Chtimes(path, now, now) == nil {
			return nil, nil
		}
		if err := c.download(ctx, d, path); err != nil {
			return nil, err
		}
		return nil, c.sweep(path)
	})
	return path, err
}

// download fetches a blob, checks it, and gives it its name last.
func (c *Cache) download(ctx context.Context, d agent.Digest, path string) error {
	r, _, err := c.store.Get(ctx, d)
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := os.CreateTemp(c.dir, ".fetch-*")
	if err != nil {
		return kinded("fetch blob "+string(d), err)
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, r)
	err = errors.Join(err, f.Chmod(0o444), f.Close())
	if err != nil {
		return kinded("fetch blob "+string(d), err)
	}
	return kinded("fetch blob "+string(d), os.Rename(f.Name(), path))
}

// sweep removes the least recently used until the rest fits; keep stays.
func (c *Cache) sweep(keep string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("sweep the blob cache: %w", err)
	}
	var infos []fs.FileInfo
	var total int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			infos = append(infos, info)
			total += info.Size()
		}
	}
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return cmp.Compare(a.ModTime().UnixNano(), b.ModTime().UnixNano()) })
	for _, info := range infos {
		path := filepath.Join(c.dir, info.Name())
		if total <= c.max {
			break
		}
		if path == keep {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sweep the blob cache: %w", err)
		}
		total -= info.Size()
	}
	return nil
}

// copyFile copies across file systems, where no link is possible.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy a blob: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
	if err != nil {
		return fmt.Errorf("copy a blob: %w", err)
	}
	_, err = io.Copy(out, in)
	return kinded("copy a blob", errors.Join(err, out.Close()))
}
