package blob

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/singleflight"

	"symbi.dev/symbi/agent"
)

// Source is where a Cache gets its blobs from, usually a Store.
type Source interface {
	// Get opens a blob, as Store.Get does.
	Get(ctx context.Context, d agent.Digest) (io.ReadCloser, int64, error)
}

// Cache keeps a node's copies of blobs, so that a task's inputs are linked into
// its folder rather than fetched and copied. When it is full, those that were
// asked for longest ago go first; a link that was given out stays whole. A
// folder has one cache at a time.
type Cache struct {
	store Source
	dir   string
	max   int64 // bytes
	fetch singleflight.Group

	mu   sync.Mutex
	held map[agent.Digest]*list.Element // of copied
	used *list.List                     // the last one asked for in front
	size int64                          // bytes, with what is being fetched
}

// copied is one blob in the cache's folder.
type copied struct {
	digest agent.Digest
	size   int64
}

// partial begins the names of files that are not whole yet.
const partial = ".partial-"

// NewCache keeps at most max bytes in dir. What a cache left there before is
// taken over; what a killed one left half done is removed.
func NewCache(store Source, dir string, max int64) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, kinded("make the blob cache", err)
	}
	c := &Cache{store: store, dir: dir, max: max, held: map[agent.Digest]*list.Element{}, used: list.New()}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("read the blob cache in %s: %w", dir, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c, c.evict(0)
}

// load finds out what is there; the newest counts as the last one asked for.
func (c *Cache) load() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	var infos []fs.FileInfo
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		if digest := agent.Digest("sha256:" + e.Name()); !digest.Valid() || !info.Mode().IsRegular() {
			if strings.HasPrefix(e.Name(), partial) {
				err = os.Remove(filepath.Join(c.dir, e.Name()))
			}
			if err != nil {
				return err
			}
			continue
		}
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range infos {
		c.size += info.Size()
		c.remember(copied{digest: agent.Digest("sha256:" + info.Name()), size: info.Size()})
	}
	return nil
}

// Materialize puts a blob at dest, as a file of its own folder's file system
// that nobody may write (0444), in place of whatever is there. It is linked to
// the cache's copy where the file system allows that. ErrNotFound when the
// store does not have it, ErrExhausted when the disk is full; dest is then as
// it was.
func (c *Cache) Materialize(ctx context.Context, d agent.Digest, dest string) error {
	if err := check(d); err != nil {
		return err
	}
	for {
		in, err := c.ensure(ctx, d)
		switch {
		case err != nil:
			return err
		case !in:
			return c.direct(ctx, d, dest)
		}
		err = place(c.path(d), dest)
		if !errors.Is(err, fs.ErrNotExist) {
			return kinded("put blob "+string(d)+" at "+dest, err)
		}
		if _, gone := os.Lstat(c.path(d)); gone == nil {
			return fmt.Errorf("put blob %s at %s: %w", d, dest, err)
		}
		c.forget(d) // it was evicted before it was linked, or somebody removed it
	}
}

func (c *Cache) path(d agent.Digest) string { return filepath.Join(c.dir, d.Hex()) }

// forget drops a copy that is not there.
func (c *Cache) forget(d agent.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.held[d]; e != nil {
		c.drop(e)
	}
}

// drop takes a copy off the books. The lock is held.
func (c *Cache) drop(e *list.Element) {
	gone := c.used.Remove(e).(copied)
	delete(c.held, gone.digest)
	c.size -= gone.size
}

// ensure fetches a blob unless it is there, and reports whether the cache has
// it now: one larger than the whole cache it never has. Several who want one
// blob wait for one fetch.
func (c *Cache) ensure(ctx context.Context, d agent.Digest) (bool, error) {
	for {
		if c.touch(d) {
			return true, nil
		}
		done := c.fetch.DoChan(string(d), func() (any, error) { return c.download(ctx, d) })
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case r := <-done:
			// Whoever began the fetch may have gone away; that is not our end.
			if errors.Is(r.Err, context.Canceled) || errors.Is(r.Err, context.DeadlineExceeded) {
				if ctx.Err() == nil {
					continue
				}
			}
			in, _ := r.Val.(bool)
			return in, r.Err
		}
	}
}

// touch reports whether a blob is there, and makes it the last one asked for.
func (c *Cache) touch(d agent.Digest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.held[d]
	if e == nil {
		return false
	}
	c.used.MoveToFront(e)
	return true
}

// download fetches a blob into the cache, unless it could never hold it.
func (c *Cache) download(ctx context.Context, d agent.Digest) (bool, error) {
	if c.touch(d) {
		return true, nil // it came between being missed and now
	}
	r, size, err := c.store.Get(ctx, d)
	if err != nil {
		return false, err
	}
	defer r.Close()
	if size > c.max {
		return false, nil
	}
	c.mu.Lock()
	err = c.evict(size)
	c.size += size
	c.mu.Unlock()
	if err == nil {
		err = fill(c.path(d), r)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.size -= size
		return false, kinded("fetch blob "+string(d), err)
	}
	c.remember(copied{digest: d, size: size})
	return true, nil
}

// direct fetches a blob that is too large for the cache.
func (c *Cache) direct(ctx context.Context, d agent.Digest, dest string) error {
	r, _, err := c.store.Get(ctx, d)
	if err != nil {
		return err
	}
	defer r.Close()
	return kinded("fetch blob "+string(d)+" to "+dest, fill(dest, r))
}

// remember adds a copy whose size is counted already. The lock is held.
func (c *Cache) remember(e copied) { c.held[e.digest] = c.used.PushFront(e) }

// evict removes copies until so many bytes more fit. The lock is held.
func (c *Cache) evict(more int64) error {
	for c.size+more > c.max && c.used.Len() > 0 {
		oldest := c.used.Back()
		e := oldest.Value.(copied)
		if err := os.Remove(c.path(e.digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("make room in the blob cache: %w", err)
		}
		c.drop(oldest)
	}
	return nil
}

// place makes dest the same file as from, or a copy where none can be linked.
func place(from, dest string) error {
	temp, err := os.MkdirTemp(filepath.Dir(dest), partial)
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	link := filepath.Join(temp, "link")
	if err := os.Link(from, link); err == nil {
		return os.Rename(link, dest)
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return fill(dest, in)
}

// fill writes a file that nobody may write, whole or not at all.
func fill(dest string, r io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(dest), partial)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, r, make([]byte, copyBytes))
	if err = errors.Join(err, f.Chmod(0o444), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), dest)
}
