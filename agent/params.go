package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// maxParamsBytes bounds the parameters of one task; what is larger is an input.
const maxParamsBytes = 256 << 10

// checkParams refuses schemas that do not compile, and defaults that their own
// schema refuses.
func (m *Manifest) checkParams(c *checker) {
	if len(m.Params) > maxParams {
		c.bad("params", "there are %d; at most %d can be declared", len(m.Params), maxParams)
	}
	for name, schema := range m.Params {
		at := "params." + clip(name)
		if err := CheckName(name); err != nil {
			c.bad(at, "%v", err)
			continue
		}
		compiled, err := compileSchema(schema)
		if err != nil {
			c.bad(at, "is no JSON Schema: %v", err)
			continue
		}
		if value, ok := defaultOf(schema); ok {
			if err := compiled.Validate(value); err != nil {
				c.bad(at+".default", "%s", schemaWords(err))
			}
		}
	}
}

// compileSchema compiles one parameter's schema. It loads nothing from elsewhere.
func compileSchema(raw json.RawMessage) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource("param.json", doc); err != nil {
		return nil, err
	}
	return compiler.Compile("param.json")
}

// noLoader keeps schemas from reaching for files or addresses.
type noLoader struct{}

// Load refuses.
func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is not loaded: a schema must hold all it needs", url)
}

// defaultOf gives a schema's default value.
func defaultOf(schema json.RawMessage) (any, bool) {
	var s struct {
		Default json.RawMessage `json:"default"`
	}
	if json.Unmarshal(schema, &s) != nil || s.Default == nil {
		return nil, false
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(s.Default))
	return value, err == nil
}

// schemaWords is the innermost of what a validation found, without its frame.
func schemaWords(err error) string {
	var v *jsonschema.ValidationError
	if !errors.As(err, &v) {
		return err.Error()
	}
	for len(v.Causes) > 0 {
		v = v.Causes[0]
	}
	text := v.Error()
	if _, after, ok := strings.Cut(text, "': "); ok {
		text = after
	}
	return strings.TrimSpace(text)
}

// CheckTask checks what a task is given against the manifest, fills in
// defaults, and gives parameters and inputs as the task gets them. Its error
// lists all that is wrong.
func (m *Manifest) CheckTask(params json.RawMessage, inputs []InputRef) (json.RawMessage, []InputRef, error) {
	c := &checker{given: func(string) bool { return true }}
	filled := m.fillParams(c, params)
	refs := m.fillInputs(c, inputs)
	if len(c.errs) > 0 {
		slices.SortFunc(c.errs, func(a, b FieldError) int { return strings.Compare(a.Path, b.Path) })
		return nil, nil, InvalidFields("task", c.errs)
	}
	return filled, refs, nil
}

func (m *Manifest) fillParams(c *checker, raw json.RawMessage) json.RawMessage {
	if len(raw) > maxParamsBytes {
		c.bad("params", "have %d bytes and may have %d; give large data as an input", len(raw), maxParamsBytes)
		return nil
	}
	given := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(raw)) > 0 && !bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		if err := json.Unmarshal(raw, &given); err != nil {
			c.bad("params", "must be an object: {\"name\": value}")
			return nil
		}
	}
	for name := range given {
		if _, known := m.Params[name]; !known {
			c.bad("params."+clip(name), "is unknown%s", suggestion(name, indexed(m.Params)))
		}
	}
	for name, schema := range m.Params {
		value, ok := given[name]
		if !ok {
			def, has := defaultOf(schema)
			if !has {
				c.bad("params."+name, "is missing and has no default")
				continue
			}
			given[name], _ = json.Marshal(def)
			continue
		}
		m.checkParam(c, name, schema, value)
	}
	out, err := json.Marshal(given)
	if err != nil {
		c.bad("params", "cannot be written as JSON: %v", err)
	}
	return out
}

func (m *Manifest) checkParam(c *checker, name string, schema, value json.RawMessage) {
	compiled, err := compileSchema(schema)
	if err != nil {
		c.bad("params."+name, "its schema does not compile: %v", err)
		return
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		c.bad("params."+name, "is no JSON: %v", err)
		return
	}
	if err := compiled.Validate(doc); err != nil {
		c.bad("params."+name, "%s", schemaWords(err))
	}
}

// indexed gives a map's names in the form that suggestion wants.
func indexed[V any](named map[string]V) map[string]int {
	out := make(map[string]int, len(named))
	for name := range named {
		out[name] = 0
	}
	return out
}

func (m *Manifest) fillInputs(c *checker, given []InputRef) []InputRef {
	have := map[string]bool{}
	out := make([]InputRef, 0, len(given))
	for _, ref := range given {
		have[ref.Name] = true
		at := "inputs." + clip(ref.Name)
		declared, known := m.Inputs[ref.Name]
		if !known {
			c.bad(at, "is unknown%s", suggestion(ref.Name, indexed(m.Inputs)))
			continue
		}
		if ref.Bytes > declared.MaxMB<<20 {
			c.bad(at, "has %d bytes and may have %d MiB (inputs.%s.max_mb)", ref.Bytes, declared.MaxMB, ref.Name)
		}
		if ref.Sensitivity == "" {
			ref.Sensitivity = declared.Sensitivity
		}
		if slices.Index(Sensitivities, ref.Sensitivity) < slices.Index(Sensitivities, declared.Sensitivity) {
			c.bad(at+".sensitivity", "may raise what the manifest says (%s), not lower it", declared.Sensitivity)
		}
		ref.MediaType = declared.MediaType
		out = append(out, ref)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Inputs)) {
		if !have[name] && !m.Inputs[name].Optional {
			c.bad("inputs."+name, "is missing; give it with --input %s=FILE", name)
		}
	}
	return out
}
