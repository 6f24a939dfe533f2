package main

import (
	"encoding/json"
	"path/filepath"
	"time"

	"symbi.dev/symbi/agent"
)

// runOptions are what `symbi run` makes a manifest of.
type runOptions struct {
	script      string
	args        []string
	name        string
	language    string
	memoryMB    int64
	cpuCores    float64
	timeout     time.Duration
	sensitivity string
	work        work
}

// inputRoomMB is how large the inputs of a made manifest may be.
const inputRoomMB = 1024

// manifest makes the manifest. It goes through Parse like any other, so that
// what the flags say is checked as a file is.
func (o runOptions) manifest() (*agent.Manifest, error) {
	language := agent.Language(o.language)
	if language == "" {
		var err error
		if language, err = languageOf(o.script); err != nil {
			return nil, err
		}
	}
	name := o.name
	if name == "" {
		name = nameOf(o.script)
	}
	script := map[string]any{"language": language, "file": filepath.Base(o.script)}
	if len(o.args) > 0 {
		script["args"] = o.args
	}
	tree := map[string]any{
		"apiVersion": agent.APIVersion, "kind": agent.Kind, "name": name,
		"program": map[string]any{"script": script},
		"network": map[string]any{}, "external_apis": []string{},
	}
	inputs, err := attachNames("input", o.work.inputs)
	if err != nil {
		return nil, err
	}
	declared := map[string]any{}
	for _, in := range inputs {
		declared[in] = map[string]any{"sensitivity": o.sensitivity, "max_mb": inputRoomMB}
	}
	if len(declared) > 0 {
		tree["inputs"] = declared
	}
	params, err := attachNames("param", o.work.params)
	if err != nil {
		return nil, err
	}
	schemas := map[string]any{}
	for _, p := range params {
		schemas[p] = map[string]any{}
	}
	if len(schemas) > 0 {
		tree["params"] = schemas
	}
	resources := map[string]any{}
	if o.memoryMB != 0 {
		resources["memory_mb"] = o.memoryMB
	}
	if o.cpuCores != 0 {
		resources["cpu_cores"] = o.cpuCores
	}
	if o.timeout != 0 {
		resources["execution_timeout"] = o.timeout.String()
	}
	if len(resources) > 0 {
		tree["resources"] = resources
	}
	source, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	m, _, err := agent.Parse(source)
	return m, err
}
