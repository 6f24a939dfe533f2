package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // file://
	_ "gocloud.dev/blob/memblob"  // mem://

	"symbi.dev/symbi/agent"
)

// Store keeps blobs in a bucket. It may be used by many at once.
type Store struct {
	bucket *blob.Bucket
	folder string // that the bucket is, if it is one
}

// Open opens the bucket at a URL, for instance file:///var/lib/symbi/blobs.
// ErrInvalid when no driver is linked for its scheme or the driver refuses it.
func Open(ctx context.Context, where string) (*Store, error) {
	u, err := url.Parse(where)
	if err != nil {
		return nil, agent.Errorf(agent.ErrInvalid, "open the blob store: %w", err)
	}
	s := new(Store)
	if u.Scheme == "file" {
		if s.folder = u.Path; u.Host == "." { // the driver's way to write a relative path
			s.folder = "." + u.Path
		}
		u.RawQuery = folderOptions(u.Query()).Encode()
	}
	s.bucket, err = blob.OpenBucket(ctx, u.String())
	if err != nil {
		return nil, agent.Errorf(agent.ErrInvalid, "open the blob store: %w", err)
	}
	return s, nil
}

// OpenFolder opens a folder as a bucket, and makes it first where there is none.
func OpenFolder(ctx context.Context, dir string) (*Store, error) {
	return Open(ctx, (&url.URL{Scheme: "file", Path: dir}).String())
}

// folderOptions are the driver's, where the URL does not set them: make the
// folder, for its owner only; write new files beside old ones, so that they can
// be renamed; keep no attributes, for which each blob would need another file.
func folderOptions(q url.Values) url.Values {
	for name, value := range map[string]string{
		"create_dir": "true", "dir_file_mode": fmt.Sprint(0o700), "no_tmp_dir": "true", "metadata": "skip",
	} {
		if !q.Has(name) {
			q.Set(name, value)
		}
	}
	return q
}

// Close releases the bucket.
func (s *Store) Close() error { return s.bucket.Close() }

// Check reports whether the bucket answers.
func (s *Store) Check(ctx context.Context) error {
	if s.folder != "" { // whose driver takes a folder that is gone for an empty one
		if _, err := os.Stat(s.folder); err != nil {
			return agent.Errorf(agent.ErrUnavailable, "look at the blob store: %w", err)
		}
		return nil
	}
	ok, err := s.bucket.IsAccessible(ctx)
	if err == nil && !ok {
		err = errors.New("the bucket is not accessible")
	}
	return kinded("look at the blob store", err)
}

// Stat gives a blob's size in bytes. ErrNotFound when it is not there.
func (s *Store) Stat(ctx context.Context, d agent.Digest) (int64, error) {
	if err := check(d); err != nil {
		return 0, err
	}
	a, err := s.bucket.Attributes(ctx, key(d))
	if err != nil {
		return 0, kinded("look up blob "+string(d), err)
	}
	return a.Size, nil
}

// Get opens a blob and gives its size in bytes. The read that meets its end
// fails when the content is not what the digest says, so whoever has read
// without an error to io.EOF has what was asked for. ErrNotFound when it is not
// there.
func (s *Store) Get(ctx context.Context, d agent.Digest) (io.ReadCloser, int64, error) {
	if err := check(d); err != nil {
		return nil, 0, err
	}
	r, err := s.bucket.NewReader(ctx, key(d), nil)
	if err != nil {
		return nil, 0, kinded("open blob "+string(d), err)
	}
	return &verified{r: r, want: d, h: sha256.New()}, r.Size(), nil
}

// GetBytes reads a blob of at most limit bytes. ErrInvalid when it has more.
func (s *Store) GetBytes(ctx context.Context, d agent.Digest, limit int64) ([]byte, error) {
	r, size, err := s.Get(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > limit {
		return nil, agent.Errorf(agent.ErrInvalid, "blob %s has %d bytes; at most %d are read here", d, size, limit)
	}
	b := make([]byte, 0, size+1) // one more, so that the end is met without growing
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return nil, err
		case len(b) == cap(b):
			return nil, fmt.Errorf("blob %s is damaged: it has more than its %d bytes", d, size)
		}
	}
}

// verified hashes what is read and judges it at the end.
type verified struct {
	r    io.ReadCloser
	want agent.Digest
	h    hash.Hash
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.h.Write(p[:n])
	switch {
	case errors.Is(err, io.EOF):
		if got := sum(v.h); got != v.want {
			return n, fmt.Errorf("blob %s is damaged: its content has digest %s; upload it again", v.want, got)
		}
		return n, io.EOF
	case err != nil:
		return n, kinded("read blob "+string(v.want), err)
	}
	return n, nil
}

func (v *verified) Close() error { return v.r.Close() }

// Sweep removes what uploads that were cut off before the given time left
// behind. No digest names it.
func (s *Store) Sweep(ctx context.Context, before time.Time) (removed int, err error) {
	list := s.bucket.List(nil)
	for {
		o, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			return removed, nil
		}
		if err != nil {
			return removed, kinded("sweep the blob store", err)
		}
		if !strings.HasPrefix(o.Key, incoming) && !strings.HasSuffix(o.Key, ".tmp") || !o.ModTime.Before(before) {
			continue
		}
		if err := s.bucket.Delete(ctx, o.Key); err != nil {
			return removed, kinded("sweep the blob store", err)
		}
		removed++
	}
}

// key spreads blobs over folders, so that no folder grows without bound.
func key(d agent.Digest) string { h := d.Hex(); return h[:2] + "/" + h[2:4] + "/" + h }

func check(d agent.Digest) error {
	if d.Valid() {
		return nil
	}
	shown := d
	if len(shown) > 80 {
		shown = shown[:80] + "…"
	}
	return agent.Errorf(agent.ErrInvalid, "%q is not a digest: write sha256: and 64 hexadecimal digits", shown)
}

func sum(h hash.Hash) agent.Digest { return agent.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))) }

// DigestOf is the digest of some bytes.
func DigestOf(b []byte) agent.Digest {
	h := sha256.Sum256(b)
	return agent.Digest("sha256:" + hex.EncodeToString(h[:]))
}
