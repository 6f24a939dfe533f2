// Package blob keeps content by its digest: inputs, scripts, artifacts, logs,
// and payloads too large for a workflow's history. Content is checked against
// its digest on the way in and on the way out; a name that is there is whole.
//
// The store is any bucket that gocloud.dev/blob opens by URL. This package
// links the drivers for folders (file://) and memory (mem://); a build that
// wants others adds their blank imports.
package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"syscall"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // file://
	_ "gocloud.dev/blob/memblob"  // mem://
	"gocloud.dev/gcerrors"

	"symbi.dev/symbi/agent"
)

// Store keeps blobs in a bucket.
type Store struct{ bucket *blob.Bucket }

// Open opens the bucket at a URL, for instance file:///var/lib/symbi/blobs.
func Open(ctx context.Context, url string) (*Store, error) {
	b, err := blob.OpenBucket(ctx, url)
	if err != nil {
		return nil, agent.Errorf(agent.ErrInvalid, "open the blob store: %w", err)
	}
	return &Store{bucket: b}, nil
}

// OpenFolder opens a folder as a bucket, and makes it first where there is none.
func OpenFolder(ctx context.Context, dir string) (*Store, error) {
	return Open(ctx, "file://"+dir+"?create_dir=true&no_tmp_dir=true&metadata=skip")
}

// Close releases the bucket.
func (s *Store) Close() error { return s.bucket.Close() }

// Check reports whether the bucket answers.
func (s *Store) Check(ctx context.Context) error {
	ok, err := s.bucket.IsAccessible(ctx)
	if err == nil && !ok {
		err = errors.New("the bucket is not accessible")
	}
	return kinded("look at the blob store", err)
}

// key spreads blobs over folders, so that no folder grows without bound.
func key(d agent.Digest) string { h := d.Hex(); return h[:2] + "/" + h[2:4] + "/" + h }

// Put stores what r gives, of at most limit bytes, under its digest, and gives
// that and the size. When want is not empty and is not the digest, the answer
// is ErrInvalid and nothing is kept.
func (s *Store) Put(ctx context.Context, want agent.Digest, r io.Reader, limit int64) (agent.Digest, int64, error) {
	if want != "" && !want.Valid() {
		return "", 0, agent.Errorf(agent.ErrInvalid, "%q is not a digest: write sha256: and 64 hexadecimal digits", want)
	}
	incoming := "incoming/" + rand.Text()
	digest, size, err := s.receive(ctx, incoming, r, limit)
	if err == nil && want != "" && digest != want {
		err = agent.Errorf(agent.ErrInvalid, "the content's digest is %s, not %s", digest, want)
	}
	if err == nil {
		err = kinded("keep a blob", s.bucket.Copy(ctx, key(digest), incoming, nil))
	}
	// What came in is removed in any case; failing to leaves a stray that no
	// digest names.
	if derr := s.bucket.Delete(context.WithoutCancel(ctx), incoming); derr != nil && gcerrors.Code(derr) != gcerrors.NotFound {
		err = errors.Join(err, kinded("remove an incoming blob", derr))
	}
	return digest, size, err
}

// receive writes what comes under a temporary name and hashes it meanwhile.
func (s *Store) receive(ctx context.Context, name string, r io.Reader, limit int64) (agent.Digest, int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // before Close: an upload that is cancelled leaves nothing
	w, err := s.bucket.NewWriter(ctx, name, &blob.WriterOptions{ContentType: "application/octet-stream"})
	if err != nil {
		return "", 0, kinded("receive a blob", err)
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = agent.Errorf(agent.ErrInvalid, "the content has more than %d bytes", limit)
	}
	if err != nil {
		cancel()
		if cerr := w.Close(); cerr != nil && !errors.Is(cerr, context.Canceled) {
			err = errors.Join(err, cerr)
		}
		return "", 0, kinded("receive a blob", err)
	}
	return sum(h), n, kinded("receive a blob", w.Close())
}

func sum(h hash.Hash) agent.Digest { return agent.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))) }

// DigestOf is the digest of some bytes.
func DigestOf(b []byte) agent.Digest {
	h := sha256.Sum256(b)
	return agent.Digest("sha256:" + hex.EncodeToString(h[:]))
}

// PutBytes stores some bytes, unless they are there already.
func (s *Store) PutBytes(ctx context.Context, b []byte) (agent.Digest, error) {
	d := DigestOf(b)
	if _, err := s.Stat(ctx, d); err == nil {
		return d, nil
	}
	_, _, err := s.Put(ctx, d, bytes.NewReader(b), int64(len(b)))
	return d, err
}

// Stat gives a blob's size, or ErrNotFound.
func (s *Store) Stat(ctx context.Context, d agent.Digest) (int64, error) {
	if !d.Valid() {
		return 0, agent.Errorf(agent.ErrInvalid, "%q is not a digest: write sha256: and 64 hexadecimal digits", d)
	}
	a, err := s.bucket.Attributes(ctx, key(d))
	if err != nil {
		return 0, kinded("look up blob "+string(d), err)
	}
	return a.Size, nil
}

// Get opens a blob. Reading it to its end fails when the content is not what
// the digest says.
func (s *Store) Get(ctx context.Context, d agent.Digest) (io.ReadCloser, int64, error) {
	if !d.Valid() {
		return nil, 0, agent.Errorf(agent.ErrInvalid, "%q is not a digest: write sha256: and 64 hexadecimal digits", d)
	}
	r, err := s.bucket.NewReader(ctx, key(d), nil)
	if err != nil {
		return nil, 0, kinded("open blob "+string(d), err)
	}
	return &checked{r: r, want: d, h: sha256.New()}, r.Size(), nil
}

// GetBytes reads a blob of at most limit bytes.
func (s *Store) GetBytes(ctx context.Context, d agent.Digest, limit int64) ([]byte, error) {
	r, size, err := s.Get(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > limit {
		return nil, agent.Errorf(agent.ErrInvalid, "blob %s has %d bytes; at most %d are read here", d, size, limit)
	}
	return io.ReadAll(r)
}

// checked hashes what is read and judges it at the end.
type checked struct {
	r    io.ReadCloser
	want agent.Digest
	h    hash.Hash
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.h.Write(p[:n])
	if errors.Is(err, io.EOF) {
		if got := sum(c.h); got != c.want {
			return n, fmt.Errorf("blob %s is damaged: its content has digest %s", c.want, got)
		}
	}
	return n, err
}

func (c *checked) Close() error { return c.r.Close() }

// kinded gives the bucket's errors their kind.
func kinded(doing string, err error) error {
	switch {
	case err == nil || agent.KindOf(err) != nil:
		return err
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return agent.Errorf(agent.ErrExhausted, "%s: the disk of the blob store is full: %w", doing, err)
	case gcerrors.Code(err) == gcerrors.NotFound || errors.Is(err, os.ErrNotExist):
		return agent.Errorf(agent.ErrNotFound, "%s: it is not there: %w", doing, err)
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", doing, err)
	default:
		return agent.Errorf(agent.ErrUnavailable, "%s: %w", doing, err)
	}
}
