package boot

import (
	"errors"
	"slices"
)

// stack remembers how to undo what was started, newest first.
type stack struct {
	undo []func() error
}

// push adds what undoes the step just taken.
func (s *stack) push(undo func() error) { s.undo = append(s.undo, undo) }

// pushFunc adds an undoing that cannot fail.
func (s *stack) pushFunc(undo func()) { s.push(func() error { undo(); return nil }) }

// unwind undoes everything, whatever fails on the way.
func (s *stack) unwind() error {
	var errs []error
	for _, undo := range slices.Backward(s.undo) {
		errs = append(errs, undo())
	}
	s.undo = nil
	return errors.Join(errs...)
}
