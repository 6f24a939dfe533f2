package blob_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/blob"
)

// counted counts fetches, and holds them until it is let go.
type counted struct {
	*blob.Store
	fetches atomic.Int32
	begun   chan struct{} // one for each fetch, if not nil
	letGo   chan struct{}
}

func (c *counted) Get(ctx context.Context, d agent.Digest) (io.ReadCloser, int64, error) {
	c.fetches.Add(1)
	if c.begun != nil {
		c.begun <- struct{}{}
		select {
		case <-c.letGo:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	return c.Store.Get(ctx, d)
}

func cache(t *testing.T, from blob.Source, max int64) (*blob.Cache, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cache")
	c, err := blob.NewCache(from, dir, max)
	if err != nil {
		t.Fatal(err)
	}
	return c, dir
}

func put(t *testing.T, s *blob.Store, b []byte) agent.Digest {
	t.Helper()
	d, err := s.PutBytes(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// holds checks that a file has some content and that nobody may write it.
func holds(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s holds %d bytes (%v), want %d", path, len(got), err, len(want))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o444 {
		t.Errorf("%s has mode %v (%v)", path, info.Mode(), err)
	}
}

func TestABlobIsFetchedOnceAndLinkedReadOnly(t *testing.T) {
	t.Parallel()
	s, _ := folderStore(t)
	from := &counted{Store: s}
	c, _ := cache(t, from, 1<<20)
	b := content(20, 1000)
	d := put(t, s, b)
	out := t.TempDir()
	one, two := filepath.Join(out, "one"), filepath.Join(out, "two")
	if err := os.WriteFile(two, []byte("what was there before"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dest := range []string{one, two, one} {
		if err := c.Materialize(t.Context(), d, dest); err != nil {
			t.Fatal(err)
		}
		holds(t, dest, b)
	}
	if n := from.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	i1, err1 := os.Stat(one)
	i2, err2 := os.Stat(two)
	if err1 != nil || err2 != nil || !os.SameFile(i1, i2) {
		t.Error("they are not links to one file")
	}
	if left := files(t, out); len(left) != 2 {
		t.Errorf("files in the task's folder: %v", left)
	}
}

func TestManyWhoWantOneBlobWaitForOneFetch(t *testing.T) {
	t.Parallel()
	s, _ := folderStore(t)
	from := &counted{Store: s, begun: make(chan struct{}, 100), letGo: make(chan struct{})}
	c, _ := cache(t, from, 1<<20)
	b := content(21, 1000)
	d := put(t, s, b)
	out := t.TempDir()
	var wanting sync.WaitGroup
	for i := range 20 {
		wanting.Go(func() {
			dest := filepath.Join(out, string(rune('a'+i)))
			if err := c.Materialize(t.Context(), d, dest); err != nil {
				t.Error(err)
				return
			}
			holds(t, dest, b)
		})
	}
	<-from.begun
	close(from.letGo)
	wanting.Wait()
	if n := from.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func TestOneWhoLeavesDoesNotTakeTheFetchFromTheOthers(t *testing.T) {
	t.Parallel()
	s, _ := folderStore(t)
	from := &counted{Store: s, begun: make(chan struct{}, 100), letGo: make(chan struct{})}
	c, _ := cache(t, from, 1<<20)
	b := content(22, 1000)
	d := put(t, s, b)
	out := t.TempDir()
	ctx, leave := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- c.Materialize(ctx, d, filepath.Join(out, "first")) }()
	<-from.begun
	go func() { second <- c.Materialize(t.Context(), d, filepath.Join(out, "second")) }()
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the one who left got %v", err)
	}
	<-from.begun
	close(from.letGo)
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	holds(t, filepath.Join(out, "second"), b)
}

func TestAFullCacheGivesUpWhatWasAskedForLongestAgo(t *testing.T) {
	t.Parallel()
	s, _ := folderStore(t)
	from := &counted{Store: s}
	c, dir := cache(t, from, 2500)
	var blobs [][]byte
	var digests []agent.Digest
	for i := range uint64(3) {
		blobs = append(blobs, content(30+i, 1000))
		digests = append(digests, put(t, s, blobs[i]))
	}
	out := t.TempDir()
	get := func(i int, dest string) {
		t.Helper()
		dest = filepath.Join(out, dest)
		if err := c.Materialize(t.Context(), digests[i], dest); err != nil {
			t.Fatal(err)
		}
		holds(t, dest, blobs[i])
	}
	get(0, "a")
	get(1, "b")
	get(0, "a again")
	get(2, "c") // gives up 1, not 0
	if n := from.fetches.Load(); n != 3 {
		t.Fatalf("%d fetches", n)
	}
	get(0, "a once more")
	if n := from.fetches.Load(); n != 3 {
		t.Error("the one asked for last was given up")
	}
	get(1, "b again")
	if n := from.fetches.Load(); n != 4 {
		t.Error("nothing was given up")
	}
	if held := files(t, dir); len(held) != 2 {
		t.Errorf("the cache holds %v", held)
	}
	holds(t, filepath.Join(out, "b"), blobs[1])
}

func TestABlobLargerThanTheCacheIsFetchedToItsPlace(t *testing.T) {
	t.Parallel()
	s, _ := folderStore(t)
	c, dir := cache(t, s, 999)
	b := content(40, 1000)
	dest := filepath.Join(t.TempDir(), "dest")
	if err := c.Materialize(t.Context(), put(t, s, b), dest); err != nil {
		t.Fatal(err)
	}
	holds(t, dest, b)
	if held := files(t, dir); len(held) != 0 {
		t.Errorf("the cache holds %v", held)
	}
}

func TestACacheTakesOverWhatIsWholeInItsFolder(t *testing.T) {
	t.Parallel()
	s, _ := folderStore(t)
	c, dir := cache(t, s, 1<<20)
	b := content(41, 1000)
	d := put(t, s, b)
	if err := c.Materialize(t.Context(), d, filepath.Join(t.TempDir(), "x")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".partial-123"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	from := &counted{Store: s}
	c, err := blob.NewCache(from, dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	dest := filepath.Join(t.TempDir(), "dest")
	if err := c.Materialize(t.Context(), d, dest); err != nil || from.fetches.Load() != 0 {
		t.Errorf("%d fetches, %v", from.fetches.Load(), err)
	}
	holds(t, dest, b)
	if held := files(t, dir); len(held) != 1 {
		t.Errorf("the folder holds %v", held)
	}
	if _, err := blob.NewCache(from, dir, 10); err != nil {
		t.Fatal(err)
	}
	if held := files(t, dir); len(held) != 0 {
		t.Errorf("a smaller cache holds %v", held)
	}
}

func TestACopyThatSomebodyRemovedIsFetchedAgain(t *testing.T) {
	t.Parallel()
	s, _ := folderStore(t)
	c, dir := cache(t, s, 1<<20)
	b := content(42, 1000)
	d := put(t, s, b)
	for range 2 {
		dest := filepath.Join(t.TempDir(), "dest")
		if err := c.Materialize(t.Context(), d, dest); err != nil {
			t.Fatal(err)
		}
		holds(t, dest, b)
		if err := os.Remove(files(t, dir)[0]); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatCannotBeMaterializedLeavesNothing(t *testing.T) {
	t.Parallel()
	s, blobs := folderStore(t)
	c, dir := cache(t, s, 1<<20)
	damaged := put(t, s, content(43, 1000))
	if err := os.WriteFile(files(t, blobs)[0], content(44, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	whole := put(t, s, content(45, 1000))
	out := t.TempDir()
	for name, c2 := range map[string]struct {
		digest agent.Digest
		dest   string
		kind   error
	}{
		"a damaged blob":    {damaged, "dest", nil},
		"an absent blob":    {blob.DigestOf([]byte("absent")), "dest", agent.ErrNotFound},
		"no digest":         {"sha256:../../x", "dest", agent.ErrInvalid},
		"an absent folder":  {whole, "nowhere/dest", nil},
		"a folder in place": {whole, ".", nil},
	} {
		err := c.Materialize(t.Context(), c2.digest, filepath.Join(out, c2.dest))
		if err == nil || c2.kind != nil && !errors.Is(err, c2.kind) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if left := files(t, out); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if held := files(t, dir); len(held) != 1 {
		t.Errorf("the cache holds %v, want the whole blob only", held)
	}
}

// tiny mounts a file system of 1 MiB, which takes the right to mount.
func tiny(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m")
	if errors.Is(err, syscall.EPERM) {
		t.Skip("no right to mount a file system that can be filled")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestAFullDiskIsSaidAndLeavesNothing(t *testing.T) {
	t.Parallel()
	b := content(50, large)
	roomy, _ := folderStore(t)
	d := put(t, roomy, b)
	for name, c := range map[string]func(dir string) error{
		"storing": func(dir string) error {
			s, err := blob.OpenFolder(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			_, _, err = s.Put(t.Context(), d, bytes.NewReader(b), large)
			return err
		},
		"storing without a digest": func(dir string) error {
			s, err := blob.OpenFolder(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			_, _, err = s.Put(t.Context(), "", bytes.NewReader(b), large)
			return err
		},
		"fetching into the cache": func(dir string) error {
			c, err := blob.NewCache(roomy, dir, large)
			if err != nil {
				t.Fatal(err)
			}
			return c.Materialize(t.Context(), d, filepath.Join(t.TempDir(), "dest"))
		},
		"copying to another disk": func(dir string) error {
			c, _ := cache(t, roomy, large)
			return c.Materialize(t.Context(), d, filepath.Join(dir, "dest"))
		},
		"fetching past the cache": func(dir string) error {
			c, _ := cache(t, roomy, 1)
			return c.Materialize(t.Context(), d, filepath.Join(dir, "dest"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := tiny(t)
			err := c(dir)
			if !errors.Is(err, agent.ErrExhausted) {
				t.Errorf("got %v", err)
			}
			if left := files(t, dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestABlobIsCopiedToAnotherFileSystem(t *testing.T) {
	t.Parallel()
	s, _ := folderStore(t)
	c, _ := cache(t, s, 1<<20)
	b := content(51, 1000)
	dest := filepath.Join(tiny(t), "dest")
	if err := c.Materialize(t.Context(), put(t, s, b), dest); err != nil {
		t.Fatal(err)
	}
	holds(t, dest, b)
}
