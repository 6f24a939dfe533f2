//go:build dev

package temporaldev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// logger hands what Temporal logs to slog.
type logger struct {
	out   *slog.Logger
	level slog.Leveler
	fatal func(error)
}

// newLogger makes one; fatal is told what Temporal cannot live with.
func newLogger(out *slog.Logger, level slog.Leveler, fatal func(error)) log.Logger {
	return logger{out: out.With("component", "temporal"), level: level, fatal: fatal}
}

// With implements log.WithLogger.
func (l logger) With(tags ...tag.Tag) log.Logger {
	l.out = slog.New(l.out.Handler().WithAttrs(attrs(tags)))
	return l
}

// Debug implements log.Logger.
func (l logger) Debug(msg string, tags ...tag.Tag) { l.write(slog.LevelDebug, msg, tags) }

// Info implements log.Logger.
func (l logger) Info(msg string, tags ...tag.Tag) { l.write(slog.LevelInfo, msg, tags) }

// Warn implements log.Logger.
func (l logger) Warn(msg string, tags ...tag.Tag) { l.write(slog.LevelWarn, msg, tags) }

// Error implements log.Logger.
func (l logger) Error(msg string, tags ...tag.Tag) { l.write(slog.LevelError, msg, tags) }

// DPanic implements log.Logger; it panics in Temporal's own tests only.
func (l logger) DPanic(msg string, tags ...tag.Tag) { l.Error(msg, tags...) }

// Panic implements log.Logger.
func (l logger) Panic(msg string, tags ...tag.Tag) {
	l.Error(msg, tags...)
	panic(msg)
}

// Fatal implements log.Logger: Temporal expects the process to end here. Ours
// has more in it, so the goroutine ends and the server counts as failed.
func (l logger) Fatal(msg string, tags ...tag.Tag) {
	err := errors.New(msg)
	for _, t := range tags {
		if cause, ok := t.Value().(error); ok {
			err = fmt.Errorf("%s: %w", msg, cause)
		} else if t.Key() == "error" {
			err = fmt.Errorf("%s: %v", msg, t.Value())
		}
	}
	l.fatal(err)
	runtime.Goexit()
}

func (l logger) write(level slog.Level, msg string, tags []tag.Tag) {
	ctx := context.Background()
	if level < l.level.Level() || !l.out.Enabled(ctx, level) {
		return
	}
	l.out.LogAttrs(ctx, level, msg, attrs(tags)...)
}

func attrs(tags []tag.Tag) []slog.Attr {
	all := make([]slog.Attr, 0, len(tags))
	for _, t := range tags {
		all = append(all, slog.Any(t.Key(), t.Value()))
	}
	return all
}
