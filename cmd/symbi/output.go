package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"go.yaml.in/yaml/v3"

	"symbi.dev/symbi/agent"
)

// show prints v as the user wants it: as JSON or YAML, or by table.
func (c *cli) show(v any, table func(w io.Writer)) error {
	switch c.format {
	case "", "table":
		w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
		table(w)
		return w.Flush()
	case "json":
		enc := json.NewEncoder(c.out)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case "yaml":
		b, err := toYAML(v)
		if err != nil {
			return err
		}
		_, err = c.out.Write(b)
		return err
	}
	return agent.Errorf(agent.ErrInvalid, "-o %s is not a format: use table, json or yaml", c.format)
}

// toYAML writes a value under its JSON names.
func toYAML(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var tree yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(b)).Decode(&tree); err != nil {
		return nil, err
	}
	plain(&tree)
	var text bytes.Buffer
	enc := yaml.NewEncoder(&text)
	enc.SetIndent(2)
	if err := enc.Encode(&tree); err != nil {
		return nil, err
	}
	return text.Bytes(), enc.Close()
}

// plain takes JSON's quotes and braces away.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		plain(child)
	}
}

func row(w io.Writer, cells ...any) {
	for i, cell := range cells {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, cell)
	}
	fmt.Fprintln(w)
}

// age is how long ago something was, as people say it.
func age(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return short(time.Since(t))
}

// short rounds a duration to what matters of it.
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// size writes bytes as people read them.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/unit, 0
	for v >= unit && i < 3 {
		v, i = v/unit, i+1
	}
	return fmt.Sprintf("%.1f %s", v, []string{"KiB", "MiB", "GiB", "TiB"}[i])
}

// dash shows that there is nothing.
func dash[T ~string](v T) string {
	if v == "" {
		return "-"
	}
	return string(v)
}
