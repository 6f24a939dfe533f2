package agent

import (
	"errors"
	"fmt"
	"strings"
)

// Kinds of error. Callers test for them with errors.Is; REST, the command line
// and activities map each to a status, an exit code and a retry rule.
var (
	// ErrInvalid: the request cannot be right however often it is made.
	ErrInvalid = errors.New("invalid")
	// ErrDenied: policy, or the lack of credentials, forbids it.
	ErrDenied = errors.New("denied")
	// ErrNotFound: there is no such thing, or none that the caller may see.
	ErrNotFound = errors.New("not found")
	// ErrConflict: it contradicts what is already so.
	ErrConflict = errors.New("conflict")
	// ErrExhausted: a limit is reached; trying later can succeed.
	ErrExhausted = errors.New("exhausted")
	// ErrUnavailable: something this depends on does not answer; trying later can succeed.
	ErrUnavailable = errors.New("unavailable")
)

// Error is a failure of the runtime itself, told to a person: what was being
// done, of what kind the failure is, and what to do next. Its cause is for logs.
type Error struct {
	Kind    error        // one of the sentinels above
	Message string       // complete sentence or clause; tells the reader what to do
	Fields  []FieldError // what is wrong with which field, for ErrInvalid
	Err     error        // cause; not shown to callers over the network
}

// FieldError says what is wrong with one field of what was sent.
type FieldError struct {
	Path    string `json:"path"`             // e.g. "resources.memory_mb"
	Line    int    `json:"line,omitempty"`   // 1-based, where the source has lines
	Column  int    `json:"column,omitempty"` // 1-based
	Message string `json:"message"`          // what is wrong and what would be right
}

// Errorf makes an Error of a kind. A %w in the format becomes its cause.
func Errorf(kind error, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Message: err.Error(), Err: errors.Unwrap(err)}
}

// InvalidFields makes the error for a thing whose fields are wrong; what names
// the thing ("manifest", "task").
func InvalidFields(what string, fields []FieldError) *Error {
	noun := "error"
	if len(fields) != 1 {
		noun = "errors"
	}
	return &Error{Kind: ErrInvalid, Message: fmt.Sprintf("the %s has %d %s", what, len(fields), noun), Fields: fields}
}

// Error gives the message, followed by one line a field error.
func (e *Error) Error() string {
	if len(e.Fields) == 0 {
		return e.Message
	}
	var b strings.Builder
	b.WriteString(e.Message)
	for _, f := range e.Fields {
		b.WriteString("\n  ")
		b.WriteString(f.String())
	}
	return b.String()
}

// Is makes errors.Is(err, ErrInvalid) and its like hold.
func (e *Error) Is(target error) bool { return target == e.Kind }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// String gives "path (line n): message".
func (f FieldError) String() string {
	if f.Line > 0 {
		return fmt.Sprintf("%s (line %d): %s", f.Path, f.Line, f.Message)
	}
	return fmt.Sprintf("%s: %s", f.Path, f.Message)
}

// KindOf gives the kind of an error, or nil if it has none.
func KindOf(err error) error {
	for _, kind := range []error{ErrInvalid, ErrDenied, ErrNotFound, ErrConflict, ErrExhausted, ErrUnavailable} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return nil
}
