package blob_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/blob"
)

const large = 3 << 20 // more than is held in memory

// content is bytes that no two seeds share.
func content(seed uint64, size int) []byte {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// folderStore is a store in a folder of its own.
func folderStore(t testing.TB) (*blob.Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "blobs")
	s, err := blob.OpenFolder(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, dir
}

// stores are the drivers that are linked.
func stores(t *testing.T) map[string]*blob.Store {
	t.Helper()
	folder, _ := folderStore(t)
	mem, err := blob.Open(t.Context(), "mem://")
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*blob.Store{"folder": folder, "memory": mem}
}

// files lists the files below a folder.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// only hides all but a reader's Read.
type only struct{ io.Reader }

func TestWhatIsPutIsGotUnderItsDigest(t *testing.T) {
	t.Parallel()
	for driver, s := range stores(t) {
		for name, b := range map[string][]byte{"nothing": {}, "little": content(1, 100), "much": content(2, large)} {
			for _, want := range []agent.Digest{"", blob.DigestOf(b)} {
				t.Run(driver+" "+name+" "+string(want), func(t *testing.T) {
					t.Parallel()
					d, size, err := s.Put(t.Context(), want, only{bytes.NewReader(b)}, large)
					if err != nil || d != blob.DigestOf(b) || size != int64(len(b)) {
						t.Fatalf("put: %s, %d bytes, %v", d, size, err)
					}
					if n, err := s.Stat(t.Context(), d); err != nil || n != size {
						t.Errorf("stat: %d bytes, %v", n, err)
					}
					got, err := s.GetBytes(t.Context(), d, large)
					if err != nil || !bytes.Equal(got, b) {
						t.Errorf("got %d bytes, %v", len(got), err)
					}
				})
			}
		}
	}
}

func TestPuttingTwiceAtOnceIsNoError(t *testing.T) {
	t.Parallel()
	for driver, s := range stores(t) {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			b := content(3, large)
			var putting sync.WaitGroup
			for range 4 {
				putting.Go(func() {
					if _, err := s.PutBytes(t.Context(), b); err != nil {
						t.Error(err)
					}
					if _, _, err := s.Put(t.Context(), "", bytes.NewReader(b), large); err != nil {
						t.Error(err)
					}
				})
			}
			putting.Wait()
			if got, err := s.GetBytes(t.Context(), blob.DigestOf(b), large); err != nil || !bytes.Equal(got, b) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		})
	}
}

func TestWhatIsRefusedLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	other := blob.DigestOf([]byte("other"))
	broken := errors.New("the line is dead")
	for _, size := range []int{1000, large} {
		b := content(4, size)
		for name, c := range map[string]struct {
			want  agent.Digest
			from  io.Reader
			limit int64
			kind  error
			says  []string
		}{
			"another digest":        {other, bytes.NewReader(b), large, agent.ErrInvalid, []string{string(other), string(blob.DigestOf(b))}},
			"too much":              {blob.DigestOf(b), bytes.NewReader(b), int64(size) - 1, agent.ErrInvalid, []string{"more than"}},
			"too much of something": {"", bytes.NewReader(b), int64(size) - 1, agent.ErrInvalid, []string{"more than"}},
			"cut off":               {blob.DigestOf(b), io.MultiReader(bytes.NewReader(b), iotest.ErrReader(io.ErrUnexpectedEOF)), large + 1, agent.ErrInvalid, []string{"cut off"}},
			"broken":                {"", io.MultiReader(bytes.NewReader(b), iotest.ErrReader(broken)), large + 1, broken, []string{"dead"}},
			"no digest":             {"sha256:abc", bytes.NewReader(b), large, agent.ErrInvalid, []string{"64 hexadecimal digits"}},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s, dir := folderStore(t)
				_, _, err := s.Put(t.Context(), c.want, c.from, c.limit)
				if !errors.Is(err, c.kind) {
					t.Fatalf("got %v, want %v", err, c.kind)
				}
				for _, word := range c.says {
					if !strings.Contains(err.Error(), word) {
						t.Errorf("%q does not say %q", err, word)
					}
				}
				if left := files(t, dir); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

func TestAPutThatIsCancelledLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	s, dir := folderStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	b := content(5, large)
	r := io.MultiReader(bytes.NewReader(b[:large/2]), readerFunc(func([]byte) (int, error) { cancel(); return 0, io.EOF }))
	if _, _, err := s.Put(ctx, blob.DigestOf(b[:large/2]), r, large); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestDamagedContentIsNotReadWithoutAnError(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func([]byte) []byte{
		"a bit flipped": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"cut short":     func(b []byte) []byte { return b[:len(b)-1] },
		"grown":         func(b []byte) []byte { return append(b, 0) },
		"emptied":       func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, dir := folderStore(t)
			b := content(6, 1000)
			d, err := s.PutBytes(t.Context(), b)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(files(t, dir)[0], damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := s.GetBytes(t.Context(), d, large); err == nil || !strings.Contains(err.Error(), "is damaged") {
				t.Errorf("got %v", err)
			}
			r, _, err := s.Get(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := io.Copy(io.Discard, r); err == nil || !strings.Contains(err.Error(), "is damaged") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	t.Parallel()
	for driver, s := range stores(t) {
		d := blob.DigestOf([]byte("never put"))
		_, statErr := s.Stat(t.Context(), d)
		_, _, getErr := s.Get(t.Context(), d)
		_, bytesErr := s.GetBytes(t.Context(), d, 10)
		for _, err := range []error{statErr, getErr, bytesErr} {
			if !errors.Is(err, agent.ErrNotFound) || !strings.Contains(err.Error(), string(d)) {
				t.Errorf("%s: got %v", driver, err)
			}
		}
		if _, err := s.Stat(t.Context(), "../../etc/passwd"); !errors.Is(err, agent.ErrInvalid) {
			t.Errorf("%s: got %v", driver, err)
		}
	}
}

func TestMoreThanTheReaderWantsIsNotRead(t *testing.T) {
	t.Parallel()
	s, _ := folderStore(t)
	d, err := s.PutBytes(t.Context(), content(7, 1000))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.GetBytes(t.Context(), d, 999); !errors.Is(err, agent.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestAFolderIsItsOwnersAndHoldsOnlyBlobs(t *testing.T) {
	t.Parallel()
	s, dir := folderStore(t)
	if _, err := s.PutBytes(t.Context(), content(8, 10)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if all := files(t, dir); len(all) != 1 {
		t.Errorf("files %v", all)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); !errors.Is(err, agent.ErrUnavailable) {
		t.Errorf("without its folder: %v", err)
	}
}

func TestAnUnknownKindOfStoreIsRefused(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"ftp://host/x", "://", "file:///dev/null", "no-scheme"} {
		if _, err := blob.Open(t.Context(), where); !errors.Is(err, agent.ErrInvalid) {
			t.Errorf("%s: got %v", where, err)
		}
	}
}

func TestASweepRemovesOldLeftoversOnly(t *testing.T) {
	t.Parallel()
	s, dir := folderStore(t)
	d, err := s.PutBytes(t.Context(), []byte("kept"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, age := range map[string]time.Duration{
		"incoming/ABC":  48 * time.Hour,
		"aa/bb/x.1.tmp": 48 * time.Hour,
		"incoming/NEW":  time.Minute,
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600), os.Chtimes(path, now, now.Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Sweep(t.Context(), now.Add(-time.Hour)); n != 2 || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
	if left := files(t, dir); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
	if _, err := s.Stat(t.Context(), d); err != nil {
		t.Error(err)
	}
}

func BenchmarkPut(b *testing.B) {
	s, _ := folderStore(b)
	for _, size := range []int{4 << 10, 100 << 10, 10 << 20} {
		b.Run(byteSize(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			data := content(9, size)
			for i := 0; b.Loop(); i++ {
				data[0], data[1], data[2] = byte(i), byte(i>>8), byte(i>>16)
				if _, _, err := s.Put(b.Context(), blob.DigestOf(data), bytes.NewReader(data), int64(size)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func byteSize(n int) string {
	if n >= 1<<20 {
		return "10MiB"
	}
	return map[int]string{4 << 10: "4KiB", 100 << 10: "100KiB"}[n]
}
