package policy

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"symbi.dev/symbi/agent"
)

// nodeBytes is about what one value takes in memory beside its text.
const nodeBytes = 32

// maxDepth bounds nesting; no question of ours is near it.
const maxDepth = 64

// question writes {principal, action, resource, context} as OPA's own values.
// That is several times as fast as by way of JSON.
func question(in Input, limit int) (ast.Value, error) {
	w := writer{left: limit, limit: limit}
	resource, err := w.value(in.Resource, 0)
	if err != nil {
		return nil, err
	}
	occasion, err := w.object(in.Context, 0)
	if err != nil {
		return nil, err
	}
	return ast.NewObject(
		pair("principal", ast.NewObject(
			pair("id", ast.String(in.Principal)), pair("kind", ast.String(kindOf(in.Principal))))),
		pair("action", ast.String(in.Action)),
		pair("resource", resource),
		pair("context", occasion),
	), nil
}

func pair(name string, v ast.Value) [2]*ast.Term {
	return [2]*ast.Term{ast.InternedTerm(name), ast.NewTerm(v)}
}

// kindOf is what sort of principal it is: "node" of "node:a", "admin" of "admin".
func kindOf(p agent.Principal) string {
	kind, _, _ := strings.Cut(string(p), ":")
	return kind
}

// writer turns Go values into OPA's, up to a size.
type writer struct{ left, limit int }

func (w *writer) spend(text int) error {
	if w.left -= nodeBytes + text; w.left < 0 {
		return fmt.Errorf("the question has more than %d KiB", w.limit>>10)
	}
	return nil
}

func (w *writer) value(v any, depth int) (ast.Value, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("the question is nested more than %d deep", maxDepth)
	}
	switch v := v.(type) {
	case map[string]any:
		return w.object(v, depth)
	case []any:
		terms := make([]*ast.Term, len(v))
		for i, item := range v {
			value, err := w.value(item, depth+1)
			if err != nil {
				return nil, err
			}
			terms[i] = ast.NewTerm(value)
		}
		return ast.NewArray(terms...), w.spend(0)
	case string:
		return ast.String(v), w.spend(len(v))
	case bool:
		return ast.Boolean(v), w.spend(0)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("the question has a number that is none")
		}
		return w.number(strconv.FormatFloat(v, 'g', -1, 64))
	case json.Number:
		return w.number(string(v))
	case int64:
		return w.number(strconv.FormatInt(v, 10))
	case int:
		return w.number(strconv.Itoa(v))
	case nil:
		return ast.Null{}, w.spend(0)
	}
	return w.other(v, depth)
}

func (w *writer) number(text string) (ast.Value, error) {
	return ast.Number(text), w.spend(len(text))
}

func (w *writer) object(m map[string]any, depth int) (ast.Value, error) {
	pairs := make([][2]*ast.Term, 0, len(m))
	for name, item := range m {
		value, err := w.value(item, depth+1)
		if err != nil {
			return nil, err
		}
		if err := w.spend(len(name)); err != nil {
			return nil, err
		}
		pairs = append(pairs, pair(name, value))
	}
	return ast.NewObject(pairs...), w.spend(0)
}

// other takes strings of a type of our own, and whatever JSON can write.
func (w *writer) other(v any, depth int) (ast.Value, error) {
	if r := reflect.ValueOf(v); r.Kind() == reflect.String {
		return w.value(r.String(), depth)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("the question cannot be written: %w", err)
	}
	if len(text) > w.left {
		return nil, w.spend(len(text))
	}
	var plain any
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	if err := d.Decode(&plain); err != nil {
		return nil, fmt.Errorf("the question cannot be written: %w", err)
	}
	return w.value(plain, depth)
}
