package agent

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Warning says that something in a manifest is accepted but does not act as
// its writer may think.
type Warning struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

// Parse reads a manifest, YAML or JSON, and fills in the cautious value of what
// was left out. Its error is of kind ErrInvalid and lists all that is wrong,
// each with path, line and column.
func Parse(source []byte) (*Manifest, []Warning, error) {
	if len(source) > MaxManifestBytes {
		return nil, nil, Errorf(ErrInvalid, "the manifest has %d bytes and may have %d; upload large scripts as blobs (program.script.file)", len(source), MaxManifestBytes)
	}
	root, err := parseYAML(source)
	if err != nil {
		return nil, nil, err
	}
	d := &decoder{lines: map[string]*yaml.Node{}}
	m := new(Manifest)
	d.mapping("", root, m)
	m.Unstated = unstated(d)
	if errs := firstOfEach(append(d.errs, d.placed(m.check(d.given))...)); len(errs) > 0 {
		return nil, nil, InvalidFields("manifest", errs)
	}
	m.withDefaults()
	return m, m.warnings(), nil
}

// firstOfEach keeps the first error of each path, in the source's order: what
// could not be read has no value to be judged.
func firstOfEach(errs []FieldError) []FieldError {
	seen := map[string]bool{}
	errs = slices.DeleteFunc(errs, func(e FieldError) bool {
		again := seen[e.Path]
		seen[e.Path] = true
		return again
	})
	slices.SortStableFunc(errs, func(a, b FieldError) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	return errs
}

// parseYAML reads one document into nodes, and refuses what could be a bomb.
func parseYAML(source []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(source))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, Errorf(ErrInvalid, "the manifest is empty")
		}
		return nil, Errorf(ErrInvalid, "the manifest is not YAML or JSON: %v", err)
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, Errorf(ErrInvalid, "the manifest has more than one document; send each by itself")
	}
	count := 0
	if err := tame(&doc, 0, &count); err != nil {
		return nil, err
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, Errorf(ErrInvalid, "a manifest is a mapping that begins with apiVersion: %s", APIVersion)
	}
	return doc.Content[0], nil
}

// tame refuses aliases, which can grow without bound, and nesting and numbers
// of nodes that no manifest needs.
func tame(n *yaml.Node, depth int, count *int) error {
	*count++
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return Errorf(ErrInvalid, "line %d: anchors and aliases are not allowed in a manifest; write the value out", n.Line)
	case depth > maxDepth:
		return Errorf(ErrInvalid, "line %d: the manifest is nested more than %d deep", n.Line, maxDepth)
	case *count > maxNodes:
		return Errorf(ErrInvalid, "the manifest has more than %d values", maxNodes)
	}
	for _, c := range n.Content {
		if err := tame(c, depth+1, count); err != nil {
			return err
		}
	}
	return nil
}

// Canonical is the manifest as JSON that is the same for equal manifests.
func (m *Manifest) Canonical() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("a manifest cannot be written: %v", err)) // its types have no such values
	}
	return b
}

// YAML is the manifest as people write it. Parse reads it back as an equal one:
// what was stated is written out, also where it is nothing, and what was not
// is left out.
func (m *Manifest) YAML() []byte {
	var tree map[string]any
	if err := json.Unmarshal(m.Canonical(), &tree); err != nil {
		panic(fmt.Sprintf("a manifest cannot be written: %v", err))
	}
	delete(tree, "unstated")
	for _, f := range statedBy {
		if slices.Contains(m.Unstated, f.factor) {
			f.drop(tree)
		} else if _, there := tree[f.key]; !there {
			tree[f.key] = f.nothing
		}
	}
	ordered, err := json.Marshal(tree)
	if err != nil {
		panic(fmt.Sprintf("a manifest cannot be written: %v", err))
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(ordered, &doc); err != nil {
		panic(fmt.Sprintf("a manifest cannot be written: %v", err))
	}
	plain(&doc)
	inOrder(doc.Content[0])
	b, err := yaml.Marshal(&doc)
	if err != nil {
		panic(fmt.Sprintf("a manifest cannot be written: %v", err))
	}
	return b
}

// statedBy says where a manifest states each risk factor.
var statedBy = []struct {
	factor  RiskFactor
	path    string // in sources
	key     string // at the top
	nothing any    // stated, and nothing
	drop    func(tree map[string]any)
}{
	{FactorTrust, "source.trust", "source", map[string]any{}, func(t map[string]any) {
		if source, ok := t["source"].(map[string]any); ok {
			delete(source, "trust")
			if len(source) == 0 {
				delete(t, "source")
			}
		}
	}},
	{FactorNetwork, "network", "network", map[string]any{}, dropKey("network")},
	{FactorFilesystem, "filesystem", "filesystem", map[string]any{}, dropKey("filesystem")},
	{FactorIntegrations, "external_apis", "external_apis", []any{}, dropKey("external_apis")},
}

func dropKey(key string) func(map[string]any) { return func(t map[string]any) { delete(t, key) } }

// inOrder puts the top of a manifest into the order of the Go type, which is
// the order in which people read it.
func inOrder(top *yaml.Node) {
	order := fieldsOf(reflect.TypeFor[Manifest]())
	pairs := make([][2]*yaml.Node, 0, len(top.Content)/2)
	for i := 0; i+1 < len(top.Content); i += 2 {
		pairs = append(pairs, [2]*yaml.Node{top.Content[i], top.Content[i+1]})
	}
	slices.SortStableFunc(pairs, func(a, b [2]*yaml.Node) int { return order[a[0].Value] - order[b[0].Value] })
	top.Content = top.Content[:0]
	for _, p := range pairs {
		top.Content = append(top.Content, p[0], p[1])
	}
}

// plain takes JSON's quotes and braces away where YAML needs none.
func plain(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && bytes.ContainsRune([]byte(n.Value), '\n') {
		n.Style = yaml.LiteralStyle
	}
	for _, c := range n.Content {
		plain(c)
	}
}

// unstated lists the risk factors of which the manifest says nothing.
func unstated(d *decoder) []RiskFactor {
	var all []RiskFactor
	for _, f := range statedBy {
		if !d.given(f.path) {
			all = append(all, f.factor)
		}
	}
	return all
}

// warnings says what is accepted and does not act yet.
func (m *Manifest) warnings() []Warning {
	var all []Warning
	warn := func(when bool, path, what string) {
		if when {
			all = append(all, Warning{Path: path, Message: what + "; it is kept and counted in the risk score"})
		}
	}
	warn(m.Network.wanted(), "network", "network access does not act yet: the sandbox has none")
	warn(m.Resources.NetworkIOMBps > 0, "resources.network_io_mbps", "it does not act yet: the sandbox has no network")
	warn(len(m.ExternalAPIs) > 0, "external_apis", "external APIs do not act yet: the sandbox has no network")
	warn(len(m.Secrets) > 0, "secrets", "secrets do not act yet: none reaches the program")
	warn(len(m.Policy) > 0, "policy", "policy rules of a manifest do not act yet: only the operator's are asked")
	return all
}
