package sqlstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"symbi.dev/symbi/agent"
)

// micros is how a time is stored.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// timeColumn reads a stored time.
type timeColumn struct{ to *time.Time }

// Scan is for database/sql.
func (c timeColumn) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("a time is stored as %T", src)
	}
	*c.to = time.Time{}
	if n != 0 {
		*c.to = time.UnixMicro(n).UTC()
	}
	return nil
}

// holdsText is how holds are stored: joined by commas, in order.
func holdsText(h agent.Holds) string {
	words := make([]string, len(h))
	for i, hold := range h {
		words[i] = string(hold)
	}
	return strings.Join(words, ",")
}

// holdsColumn reads stored holds.
type holdsColumn struct{ to *agent.Holds }

// Scan is for database/sql.
func (c holdsColumn) Scan(src any) error {
	text, err := asText(src)
	if err != nil {
		return err
	}
	*c.to = nil
	for word := range strings.SplitSeq(text, ",") {
		if word != "" {
			*c.to = append(*c.to, agent.Hold(word))
		}
	}
	return nil
}

// jsonText is how a structure is stored. Raw JSON within it keeps its order
// and loses its white space.
func jsonText(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", agent.Errorf(agent.ErrInvalid, "it cannot be written as JSON: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// jsonOrNull is how a structure that may be absent is stored.
func jsonOrNull[T any](v *T) (any, error) {
	if v == nil {
		return nil, nil
	}
	return jsonText(v)
}

// mapOrNull is how a map is stored; an empty one is absent.
func mapOrNull(m map[string]string) (any, error) {
	if len(m) == 0 {
		return nil, nil
	}
	return jsonText(m)
}

// rawOrNull is how JSON that others wrote is stored: as it is.
func rawOrNull(m json.RawMessage) any {
	if len(m) == 0 {
		return nil
	}
	return string(m)
}

// jsonColumn reads a stored structure; an absent one leaves the zero value.
type jsonColumn[T any] struct{ to *T }

func jsonInto[T any](to *T) jsonColumn[T] { return jsonColumn[T]{to} }

// Scan is for database/sql.
func (c jsonColumn[T]) Scan(src any) error {
	if src == nil {
		return nil
	}
	text, err := asText(src)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), c.to)
}

// rawColumn reads JSON that others wrote, as it is.
type rawColumn struct{ to *json.RawMessage }

// Scan is for database/sql.
func (c rawColumn) Scan(src any) error {
	if src == nil {
		return nil
	}
	text, err := asText(src)
	*c.to = json.RawMessage(text)
	return err
}

func asText(src any) (string, error) {
	switch v := src.(type) {
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	}
	return "", fmt.Errorf("text is stored as %T", src)
}
