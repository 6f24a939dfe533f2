package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/cluster"
	"symbi.dev/symbi/internal/store"
	"symbi.dev/symbi/internal/tasklog"
)

// Bounds of reading a log.
const (
	logChunk    = 256 << 10       // asked of a node at once
	nodeTimeout = 3 * time.Second // for its answer
)

// logSource is where the log of a task's newest attempt lies: on its node
// while that has it, in the blob store afterwards.
type logSource struct {
	server *Server
	task   store.Task
	stored *bytes.Reader // the whole log, once read from the blob store
}

func (s *Server) logSource(t store.Task) *logSource { return &logSource{server: s, task: t} }

// read gives records from an offset on, and the offset after them, which is
// the same one when there is nothing (yet).
func (l *logSource) read(ctx context.Context, offset int64) ([]tasklog.Record, int64, error) {
	if o := l.task.Outcome; o != nil && o.LogDigest != "" && l.task.State.Final() {
		return l.fromBlob(ctx, o.LogDigest, offset)
	}
	if l.task.Node == "" || l.task.Lease == "" {
		return nil, offset, nil
	}
	return l.fromNode(ctx, offset)
}

// fromNode asks the node. One that does not answer, or has the attempt no
// longer, has nothing now; the row says soon what became of it.
func (l *logSource) fromNode(ctx context.Context, offset int64) ([]tasklog.Record, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	answer, err := l.server.cfg.Nodes.ReadLog(ctx, l.task.Node, cluster.LogQuestion{
		Task: l.task.Spec.TaskRef, Lease: l.task.Lease, Offset: offset, MaxSize: logChunk,
	})
	if errors.Is(err, agent.ErrNotFound) || errors.Is(err, agent.ErrUnavailable) {
		return nil, offset, nil
	}
	if err != nil {
		return nil, offset, err
	}
	var recs []tasklog.Record
	if answer.Offset > offset && len(answer.Bytes) > 0 {
		recs = append(recs, tasklog.Record{Gap: answer.Offset - offset, Next: answer.Offset})
		offset = answer.Offset
	}
	return gather(tasklog.NewReader(bytes.NewReader(answer.Bytes), offset), recs, offset)
}

// fromBlob reads the stored log from its beginning, because gaps make its
// offsets differ from the blob's; a log is small.
func (l *logSource) fromBlob(ctx context.Context, d agent.Digest, offset int64) ([]tasklog.Record, int64, error) {
	if l.stored != nil {
		return nil, offset, nil
	}
	body, _, err := l.server.cfg.Blobs.Get(ctx, d)
	if err != nil {
		return nil, offset, err
	}
	defer body.Close()
	all, err := io.ReadAll(body)
	if err != nil {
		return nil, offset, err
	}
	l.stored = bytes.NewReader(all)
	recs, _, err := gather(tasklog.NewReader(l.stored, 0), nil, 0)
	if err != nil {
		return nil, offset, err
	}
	for i, r := range recs {
		if r.Next > offset {
			return recs[i:], recs[len(recs)-1].Next, nil
		}
	}
	return nil, offset, nil
}

// gather reads all whole records.
func gather(r *tasklog.Reader, recs []tasklog.Record, offset int64) ([]tasklog.Record, int64, error) {
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return recs, r.Offset(), nil
		}
		if err != nil {
			return recs, offset, err
		}
		recs = append(recs, rec)
	}
}
