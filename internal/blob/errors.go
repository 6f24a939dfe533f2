package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"gocloud.dev/gcerrors"

	"symbi.dev/symbi/agent"
)

// kinded gives the errors of buckets and disks their kind. One that has a kind
// keeps it.
func kinded(doing string, err error) error {
	switch {
	case err == nil || agent.KindOf(err) != nil:
		return err
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", doing, err)
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return &agent.Error{Kind: agent.ErrExhausted, Err: err,
			Message: doing + ": the disk is full; make room where the blobs lie, then try again"}
	case errors.Is(err, fs.ErrNotExist) || gcerrors.Code(err) == gcerrors.NotFound:
		return &agent.Error{Kind: agent.ErrNotFound, Err: err, Message: doing + ": it is not there"}
	default:
		return &agent.Error{Kind: agent.ErrUnavailable, Err: err, Message: doing + ": the blob store does not answer as it should"}
	}
}
