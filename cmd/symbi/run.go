package main

import (
	"context"
	"errors"

	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"symbi.dev/symbi/agent"
)

func (c *cli) agentRunCommand() *cobra.Command {
	var file string
	var w work
	cmd := &cobra.Command{
		Use: "run -f FILE", Short: "Create an agent, or update it if its manifest differs, and give it a task", Args: cobra.NoArgs,
		Example: "  symbi agent run -f agent.yaml --input reports=data.csv --follow",
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := readManifest(file)
			if err != nil {
				return err
			}
			return c.runManifest(cmd.Context(), m, file, w)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the manifest's file")
	cmd.Flags().BoolVar(&w.remove, "rm", false, "terminate the agent when the task has ended")
	_ = cmd.MarkFlagRequired("file")
	w.flags(cmd, "detach")
	c.addOutputFlag(cmd)
	return cmd
}

// runManifest applies a manifest and gives its agent a task.
func (c *cli) runManifest(ctx context.Context, m *agent.Manifest, file string, w work) (err error) {
	if err := w.check(); err != nil {
		return err
	}
	conn, err := c.connect()
	if err != nil {
		return err
	}
	if err := c.uploadScript(ctx, conn, m, file); err != nil {
		return err
	}
	a, what, err := c.put(ctx, conn, m, false)
	if err != nil {
		return &fileError{file: file, err: err}
	}
	c.warn(a)
	c.note("agent %s/%s %s", a.Namespace, a.Name, what)
	ref := agent.Ref{Namespace: m.Namespace, Name: m.Name}
	if w.remove {
		defer func() {
			_, terr := conn.Terminate(context.WithoutCancel(ctx), ref, "its run is over")
			err = errors.Join(err, terr)
		}()
	}
	request, err := c.request(ctx, conn, w)
	if err != nil {
		return err
	}
	t, err := conn.Submit(ctx, ref, request, false)
	if err != nil {
		return err
	}
	return c.attend(ctx, conn, t, w)
}

func (c *cli) runCommand() *cobra.Command {
	var w work
	var o runOptions
	var dry bool
	cmd := &cobra.Command{
		Use: "run FILE [-- ARGS...]", Short: "Run a script; no manifest is needed",
		Long: "Makes a manifest for a Python or shell script and runs it as `symbi agent run` does.\n" +
			"--dry-run -o yaml prints the manifest, to begin one's own with.",
		Example: "  symbi run report.py --input reports=birdstrikes.csv\n  symbi run report.py --dry-run -o yaml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.script, o.args = args[0], args[1:]
			o.work = w
			m, err := o.manifest()
			if err != nil {
				return err
			}
			if dry {
				if c.format == "table" {
					c.format = "yaml"
				}
				if c.format == "yaml" {
					_, err := c.out.Write(m.YAML())
					return err
				}
				return c.show(m, nil)
			}
			return c.runManifest(cmd.Context(), m, o.script, w)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "the agent's name (default: made of the file's)")
	f.StringVar(&o.language, "language", "", "python or shell (default: by the file's name or first line)")
	f.Int64Var(&o.memoryMB, "memory", 0, "MiB of memory")
	f.Float64Var(&o.cpuCores, "cpu", 0, "cores")
	f.DurationVar(&o.timeout, "timeout", 0, "how long it may take")
	f.StringVar(&o.sensitivity, "sensitivity", string(agent.Internal), "of the inputs: public, internal, confidential, restricted")
	f.BoolVar(&dry, "dry-run", false, "print the manifest and do nothing")
	f.BoolVar(&w.remove, "rm", false, "terminate the agent when the task has ended")
	w.flags(cmd, "follow")
	c.addOutputFlag(cmd)
	return cmd
}

// badInName is what a name cannot hold.
var badInName = regexp.MustCompile(`[^a-z0-9_-]+`)

// nameOf makes an agent's name of a file's.
func nameOf(path string) string {
	base := filepath.Base(path)
	name := badInName.ReplaceAllString(strings.ToLower(strings.TrimSuffix(base, filepath.Ext(base))), "-")
	name = strings.Trim(name, "-_")
	if len(name) > 63 {
		name = strings.Trim(name[:63], "-_")
	}
	if name == "" {
		return "script"
	}
	return name
}

// languageOf tells a script's language by its name or its first line.
func languageOf(path string) (agent.Language, error) {
	switch filepath.Ext(path) {
	case ".py":
		return agent.Python, nil
	case ".sh":
		return agent.Shell, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", agent.Errorf(agent.ErrInvalid, "read the script: %w", err)
	}
	first, _, _ := strings.Cut(string(b[:min(len(b), 200)]), "\n")
	switch {
	case strings.HasPrefix(first, "#!") && strings.Contains(first, "python"):
		return agent.Python, nil
	case strings.HasPrefix(first, "#!") && strings.Contains(first, "sh"):
		return agent.Shell, nil
	}
	return "", agent.Errorf(agent.ErrInvalid, "%s is neither .py nor .sh; say --language python or --language shell", path)
}

// attachNames lists the names of NAME=… flags.
func attachNames(flag string, pairs []string) ([]string, error) {
	var names []string
	for _, p := range pairs {
		name, _, err := pair(flag, p)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}
