package agent

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/invopop/jsonschema"
)

// ManifestSchema is the JSON Schema (draft 2020-12) of manifests, made from
// the Go type, so that editors complete and check them.
var ManifestSchema = sync.OnceValue(func() []byte {
	r := &jsonschema.Reflector{
		FieldNameTag: "yaml", DoNotReference: true, ExpandedStruct: true,
		Mapper: schemaOf, RequiredFromJSONSchemaTags: true,
	}
	s := r.Reflect(&Manifest{})
	s.ID, s.Title = "https://symbi.dev/schemas/manifest.json", "Symbi agent manifest"
	s.Required = []string{"apiVersion", "kind", "name", "program"}
	narrow(s)
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("the manifest's schema cannot be written: %v", err)) // its values are all plain
	}
	return b
})

// words lists the values of the types that are one of a few words.
var words = map[reflect.Type][]string{
	reflect.TypeFor[Language]():     strs([]Language{Python, Shell}),
	reflect.TypeFor[Pull]():         strs([]Pull{PullNever, PullMissing, PullAlways}),
	reflect.TypeFor[Sensitivity]():  strs(Sensitivities),
	reflect.TypeFor[Trust]():        strs([]Trust{Untrusted, Verified, Trusted}),
	reflect.TypeFor[Tier]():         strs([]Tier{TierDocker, TierGVisor}),
	reflect.TypeFor[Priority]():     strs(Priorities),
	reflect.TypeFor[Class]():        strs(Classes),
	reflect.TypeFor[FailureClass](): strs(FailureClasses),
}

func strs[T ~string](in []T) []string {
	out := make([]string, len(in))
	for i, v := range in {
		out[i] = string(v)
	}
	return out
}

// schemaOf gives the schema of the types that reflection does not see through.
func schemaOf(t reflect.Type) *jsonschema.Schema {
	if allowed, ok := words[t]; ok {
		s := &jsonschema.Schema{Type: "string"}
		for _, w := range allowed {
			s.Enum = append(s.Enum, w)
		}
		return s
	}
	switch t {
	case durationType:
		return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`, Description: "a number and a unit, like 500ms, 30s or 10m"}
	case rawType:
		return &jsonschema.Schema{Type: "object", Description: "a JSON Schema"}
	case reflect.TypeFor[Name](), reflect.TypeFor[Namespace]():
		return &jsonschema.Schema{Type: "string", Pattern: namePattern.String()}
	case reflect.TypeFor[Digest]():
		return &jsonschema.Schema{Type: "string", Pattern: digestPattern.String()}
	}
	return nil
}

// bounds are those of check, by path.
var bounds = map[string][2]float64{
	"resources.memory_mb":       {minMemoryMB, maxMemoryMB},
	"resources.cpu_cores":       {minCPUCores, maxCPUCores},
	"resources.disk_io_mbps":    {1, maxIOMBps},
	"resources.network_io_mbps": {0, maxIOMBps},
	"filesystem.scratch_mb":     {1, maxScratchMB},
	"tasks.max_concurrent":      {1, maxTasks},
	"tasks.retry.max_attempts":  {1, maxAttempts},
}

// narrow adds what the types do not say: constants, bounds, exclusive choices.
func narrow(s *jsonschema.Schema) {
	at(s, "apiVersion").Const = APIVersion
	at(s, "kind").Const = Kind
	for path, b := range bounds {
		field := at(s, path)
		field.Minimum, field.Maximum = json.Number(fmt.Sprint(b[0])), json.Number(fmt.Sprint(b[1]))
	}
	program := at(s, "program")
	program.OneOf = []*jsonschema.Schema{{Required: []string{"script"}}, {Required: []string{"container"}}}
	script := at(s, "program.script")
	script.Required = []string{"language"}
	script.OneOf = []*jsonschema.Schema{{Required: []string{"file"}}, {Required: []string{"code"}}}
	at(s, "program.container").Required = []string{"image"}
}

// at finds the schema of a field by its path.
func at(s *jsonschema.Schema, path string) *jsonschema.Schema {
	for part := range strings.SplitSeq(path, ".") {
		next, ok := s.Properties.Get(part)
		if !ok {
			panic("the manifest has no field " + path)
		}
		s = next
	}
	return s
}
