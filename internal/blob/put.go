package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"symbi.dev/symbi/agent"
)

const (
	// incoming is where content lies whose digest is not known yet.
	incoming = "incoming/"
	// heldBytes is how much of such content is held in memory, so that what is
	// small is written once.
	heldBytes = 1 << 20
	// copyBytes is written at a time.
	copyBytes = 128 << 10
)

// Put stores what r gives, of at most limit bytes, under its digest, and gives
// that and the size in bytes. When want is not empty and is not the digest, or
// when there is more than limit, the answer is ErrInvalid and nothing is kept;
// ErrExhausted when the disk is full. Storing again what is there is no error.
func (s *Store) Put(ctx context.Context, want agent.Digest, r io.Reader, limit int64) (agent.Digest, int64, error) {
	if want == "" {
		return s.putUnknown(ctx, r, limit)
	}
	if err := check(want); err != nil {
		return "", 0, err
	}
	return s.write(ctx, key(want), want, r, limit)
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

// putUnknown stores content whose name only its end tells.
func (s *Store) putUnknown(ctx context.Context, r io.Reader, limit int64) (agent.Digest, int64, error) {
	var held bytes.Buffer
	_, err := io.CopyN(&held, r, heldBytes)
	if errors.Is(err, io.EOF) {
		d := DigestOf(held.Bytes())
		return s.write(ctx, key(d), d, &held, limit)
	}
	if err != nil {
		return "", 0, unread(err)
	}
	name := incoming + rand.Text()
	digest, size, err := s.write(ctx, name, "", io.MultiReader(&held, r), limit)
	if err != nil {
		return "", 0, err
	}
	err = s.rename(ctx, name, digest, size)
	if derr := s.bucket.Delete(context.WithoutCancel(ctx), name); derr != nil && gcerrors.Code(derr) != gcerrors.NotFound {
		err = errors.Join(err, kinded("remove an incoming blob", derr))
	}
	return digest, size, err
}

// rename gives incoming content its digest's name. A folder's driver would copy
// it without making it durable, so there it is written again.
func (s *Store) rename(ctx context.Context, name string, d agent.Digest, size int64) error {
	if s.folder == "" {
		return kinded("keep a blob", s.bucket.Copy(ctx, key(d), name, nil))
	}
	r, err := s.bucket.NewReader(ctx, name, nil)
	if err != nil {
		return kinded("keep a blob", err)
	}
	defer r.Close()
	_, _, err = s.write(ctx, key(d), d, r, size)
	return err
}

// write writes content under a key, all of it or nothing: a bucket shows what
// was written when its writer is closed, and nothing when the context was
// cancelled before.
func (s *Store) write(ctx context.Context, key string, want agent.Digest, r io.Reader, limit int64) (agent.Digest, int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var file *os.File // that the content goes to, if this bucket is a folder
	w, err := s.bucket.NewWriter(ctx, key, &blob.WriterOptions{
		ContentType:                 "application/octet-stream",
		DisableContentTypeDetection: true,
		BeforeWrite:                 func(as func(any) bool) error { as(&file); return nil },
	})
	if err != nil {
		return "", 0, kinded("store a blob", err)
	}
	h := sha256.New()
	source := &source{r: io.LimitReader(r, limit+1)}
	n, err := io.CopyBuffer(io.MultiWriter(w, h), source, make([]byte, min(copyBytes, limit+1)))
	digest := sum(h)
	switch {
	case source.err != nil:
		err = unread(source.err)
	case err != nil:
	case n > limit:
		err = agent.Errorf(agent.ErrInvalid, "the content has more than %d bytes", limit)
	case want != "" && digest != want:
		err = agent.Errorf(agent.ErrInvalid, "the content's digest is %s, not %s", digest, want)
	case file != nil:
		err = file.Sync()
	}
	if err != nil {
		cancel()
		_ = w.Close() // says that it was cancelled
		if source.err == nil {
			err = kinded("store a blob", err)
		}
		return "", 0, err
	}
	if err := w.Close(); err != nil {
		return "", 0, kinded("store a blob", err)
	}
	if file != nil {
		if err := syncFolder(filepath.Dir(file.Name())); err != nil {
			return "", 0, kinded("store a blob", err)
		}
	}
	return digest, n, nil
}

// syncFolder makes a new name in a folder durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// source remembers the error of the one who gives the content, which is not
// the bucket's.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

func unread(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return agent.Errorf(agent.ErrInvalid, "the content was cut off: %w", err)
	}
	return fmt.Errorf("read the content of a blob: %w", err)
}
