package policy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/policies"
)

// revision is one set of rules, ready to be asked.
type revision struct {
	id    string // hash of the rules
	query rego.PreparedEvalQuery
}

// Names of the sets that rules add to, and of the variables that the query
// binds them to.
const (
	setAllow      = "allow"      // rule ids
	setDeny       = "deny"       // {rule, reason}
	setConditions = "conditions" // {kind, args}
)

// compile checks rules and prepares them to be asked.
func compile(ctx context.Context, modules map[string]string, schemas map[agent.Action]any) (*revision, error) {
	compiler, err := Check(modules, schemas)
	if err != nil {
		return nil, err
	}
	query, err := rego.New(
		rego.Query(queryFor(compiler)),
		rego.Compiler(compiler),
		rego.StrictBuiltinErrors(true), // an error in a rule is no answer
		rego.GenerateJSON(func(t *ast.Term, _ *rego.EvalContext) (any, error) { return t.Value, nil }),
	).PrepareForEval(ctx)
	if err != nil {
		return nil, agent.Errorf(agent.ErrInvalid, "prepare the policy: %w", err)
	}
	return &revision{id: hash(modules), query: query}, nil
}

// Check compiles rules strictly: they must parse, name schemas that exist, read
// only what these have, and call nothing that reaches outside.
func Check(modules map[string]string, schemas map[agent.Action]any) (*ast.Compiler, error) {
	parsed := make(map[string]*ast.Module, len(modules))
	for name, text := range modules {
		m, err := ast.ParseModuleWithOpts(name, text, ast.ParserOptions{ProcessAnnotation: true})
		if err != nil {
			return nil, agent.Errorf(agent.ErrInvalid, "the policy in %s does not parse: %w", name, err)
		}
		parsed[name] = m
	}
	compiler := ast.NewCompiler().
		WithStrict(true).
		WithCapabilities(capabilities()).
		WithSchemas(schemaSet(schemas)).
		WithUseTypeCheckAnnotations(true)
	compiler.Compile(parsed)
	if compiler.Failed() {
		return nil, agent.Errorf(agent.ErrInvalid, "the policy does not compile: %w", compiler.Errors)
	}
	return compiler, nil
}

// outside are the built-in functions by which a rule could reach, or learn of,
// what is not in its question. A decision must depend on nothing else.
var outside = []string{"http.send", "net.lookup_ip_addr", "opa.runtime", "rand.intn", "uuid.rfc4122", "time.now_ns"}

func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool { return slices.Contains(outside, b.Name) })
	c.AllowNet = []string{} // nor may a schema refer to another host's
	return c
}

func schemaSet(schemas map[agent.Action]any) *ast.SchemaSet {
	set := ast.NewSchemaSet()
	for action, schema := range schemas {
		set.Put(ast.Ref{ast.SchemaRootDocument, ast.StringTerm(string(action))}, schema)
	}
	return set
}

// queryFor asks for each set that some rule adds to. Asking for one that no
// rule names would make the whole query undefined.
func queryFor(compiler *ast.Compiler) string {
	query := "true"
	for _, set := range []string{setAllow, setDeny, setConditions} {
		path := policies.Package + "." + set
		if len(compiler.GetRulesWithPrefix(ast.MustParseRef(path))) > 0 {
			query += "; " + set + " = " + path
		}
	}
	return query
}

// hash names modules by their content.
func hash(modules map[string]string) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		for _, part := range []string{name, modules[name]} {
			var n [8]byte
			binary.BigEndian.PutUint64(n[:], uint64(len(part)))
			h.Write(n[:])
			h.Write([]byte(part))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
