package audit

import (
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// Details are facts of an event: short texts, numbers, truth values and times.
// Anything else is left out by name, as are values that look like secrets and
// those whose name says that they are: the log is kept for years and read by many.
type Details map[string]any

// Bounds of what is written of one event.
const (
	maxText  = 1024 // bytes of one text
	maxFacts = 32
)

// What stands in place of what is not written.
const (
	redacted    = "[redacted]"
	notRecorded = "[not recorded]"
)

var (
	secretName  = regexp.MustCompile(`(?i)token|secret|passw|credential|authorization|cookie|signature|private|api_?key`)
	secretValue = regexp.MustCompile(`(?i)symbi_[a-z0-9_-]{20,}|bearer\s+\S+|-----BEGIN [A-Z ]*PRIVATE KEY-----|\beyJ[a-z0-9_-]{10,}\.[a-z0-9_-]+\.[a-z0-9_-]*`)
)

// with is the details and one more fact.
func (d Details) with(name string, value any) Details {
	more := make(Details, len(d)+1)
	maps.Copy(more, d)
	more[name] = value
	return more
}

// text is the details as JSON, nil for none.
func (d Details) text() json.RawMessage {
	if len(d) == 0 {
		return nil
	}
	if len(d) > maxFacts {
		d = Details{"facts": notRecorded}
	}
	safe := make(map[string]any, len(d))
	for name, value := range d {
		if secretName.MatchString(name) {
			value = redacted
		}
		safe[clean(name)] = fact(value)
	}
	b, err := json.Marshal(safe)
	if err != nil { // a number that is none
		return json.RawMessage(`{"facts":"` + notRecorded + `"}`)
	}
	return b
}

// fact is a value as it may be written.
func fact(v any) any {
	if t, ok := v.(time.Time); ok {
		return t.UTC()
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.String:
		return clean(r.String())
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return v
	case reflect.Slice:
		if r.Type().Elem().Kind() == reflect.String && r.Len() <= maxFacts {
			texts := make([]string, r.Len())
			for i := range texts {
				texts[i] = clean(r.Index(i).String())
			}
			return texts
		}
	}
	return notRecorded
}

// clean is a text without secrets, valid and of bounded length.
func clean(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "…"
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	s = strings.ReplaceAll(s, "\x00", "\uFFFD") // which PostgreSQL does not store
	return secretValue.ReplaceAllString(s, redacted)
}
