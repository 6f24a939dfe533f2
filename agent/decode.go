package agent

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder reads YAML nodes into the manifest's types by their tags. It is
// strict, goes on after an error, and remembers where everything stood.
type decoder struct {
	errs  []FieldError
	lines map[string]*yaml.Node // by path
}

var (
	durationType = reflect.TypeFor[Duration]()
	rawType      = reflect.TypeFor[json.RawMessage]()
)

// given reports whether the source has something at a path.
func (d *decoder) given(path string) bool { return d.lines[path] != nil }

// placed gives errors their lines: that of the field, or of the nearest thing around it.
func (d *decoder) placed(errs []FieldError) []FieldError {
	for i := range errs {
		path := errs[i].Path
		for {
			if n := d.lines[path]; n != nil {
				errs[i].Line, errs[i].Column = n.Line, n.Column
				break
			}
			cut := strings.LastIndexAny(path, ".[")
			if cut < 0 {
				errs[i].Line, errs[i].Column = 1, 1
				break
			}
			path = path[:cut]
		}
	}
	return errs
}

func (d *decoder) fail(path string, n *yaml.Node, format string, args ...any) {
	d.errs = append(d.errs, FieldError{Path: path, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...)})
}

// mapping reads a mapping into the struct that v points to.
func (d *decoder) mapping(path string, n *yaml.Node, v any) {
	d.structure(path, n, reflect.ValueOf(v).Elem())
}

func (d *decoder) structure(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.fail(path, n, "must be a mapping, not %s", kindWord(n))
		return
	}
	fields := fieldsOf(v.Type())
	for _, pair := range d.pairs(path, n) {
		key := pair[0].Value
		at := join(path, key)
		index, known := fields[key]
		if !known {
			d.fail(at, pair[0], "is unknown%s", suggestion(key, fields))
			continue
		}
		d.lines[at] = pair[1]
		d.value(at, pair[1], v.Field(index))
	}
}

// pairs gives a mapping's keys and values; a key that stands twice is an error.
func (d *decoder) pairs(path string, n *yaml.Node) [][2]*yaml.Node {
	var out [][2]*yaml.Node
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			d.fail(path, key, "keys must be plain words")
			continue
		}
		if seen[key.Value] {
			d.fail(join(path, key.Value), key, "stands here twice")
			continue
		}
		seen[key.Value] = true
		out = append(out, [2]*yaml.Node{key, n.Content[i+1]})
	}
	return out
}

// value reads a node into a field of any type that a manifest has.
func (d *decoder) value(path string, n *yaml.Node, v reflect.Value) {
	switch {
	case v.Type() == durationType:
		d.duration(path, n, v)
	case v.Type() == rawType:
		d.raw(path, n, v)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.structure(path, n, v.Elem())
	case v.Kind() == reflect.Struct:
		d.structure(path, n, v)
	case v.Kind() == reflect.Map:
		d.table(path, n, v)
	case v.Kind() == reflect.Slice:
		d.list(path, n, v)
	default:
		d.scalar(path, n, v)
	}
}

func (d *decoder) table(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.fail(path, n, "must be a mapping, not %s", kindWord(n))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, pair := range d.pairs(path, n) {
		at := join(path, pair[0].Value)
		d.lines[at] = pair[1]
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(at, pair[1], item)
		v.SetMapIndex(reflect.ValueOf(pair[0].Value), item)
	}
}

func (d *decoder) list(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.fail(path, n, "must be a list, not %s", kindWord(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.lines[at] = item
		d.value(at, item, v.Index(i))
	}
}

func (d *decoder) scalar(path string, n *yaml.Node, v reflect.Value) {
	want := scalarWord(v.Kind())
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.fail(path, n, "must be %s, not %s", want, kindWord(n))
		return
	}
	if v.Kind() == reflect.String {
		if n.Tag != "!!str" {
			d.fail(path, n, "must be text; put it in quotes: %q", n.Value)
			return
		}
		v.SetString(n.Value)
		return
	}
	if err := n.Decode(v.Addr().Interface()); err != nil || n.Tag == "!!str" {
		d.fail(path, n, "must be %s, not %q", want, n.Value)
	}
}

func (d *decoder) duration(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		d.fail(path, n, "must be a duration with its unit, like 30s, 10m or 500ms, not %s", n.Value)
		return
	}
	parsed, err := ParseDuration(n.Value)
	if err != nil {
		d.fail(path, n, "%v", err)
		return
	}
	v.Set(reflect.ValueOf(parsed))
}

// raw keeps a value as JSON.
func (d *decoder) raw(path string, n *yaml.Node, v reflect.Value) {
	var any any
	if err := n.Decode(&any); err != nil {
		d.fail(path, n, "cannot be read: %v", err)
		return
	}
	b, err := json.Marshal(any)
	if err != nil {
		d.fail(path, n, "cannot be written as JSON: %v", err)
		return
	}
	v.SetBytes(b)
}

// fieldsOf maps a struct's keys in sources to its fields.
func fieldsOf(t reflect.Type) map[string]int {
	fields := map[string]int{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			fields[name] = i
		}
	}
	return fields
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func kindWord(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	}
	return fmt.Sprintf("%q", n.Value)
}

func scalarWord(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	case reflect.String:
		return "text"
	}
	return "a whole number"
}

// suggestion names the known key that is nearest to a mistyped one.
func suggestion(key string, fields map[string]int) string {
	best, distance := "", 4
	for name := range fields {
		if d := editDistance(key, name); d < distance || d == distance && name < best {
			best, distance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// editDistance is Levenshtein's, for short words; very long ones are far from all.
func editDistance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			last, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, last+cost)
		}
	}
	return row[len(b)]
}
