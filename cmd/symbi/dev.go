package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/boot"
)

func (c *cli) devCommand() *cobra.Command {
	var cfg boot.DevConfig
	var level string
	cmd := &cobra.Command{
		Use: "dev", Short: "Run everything in one process, with state in one folder", Args: cobra.NoArgs,
		Long: "Runs Temporal and its Web UI, NATS, the store, the API and one node in this process, offline.\n" +
			"Ctrl-C stops it cleanly; starting it again carries on where it was.",
		Example: "  symbi dev\n  symbi dev --data ./state --listen 127.0.0.1:9000",
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := newLogger(level, "text")
			if err != nil {
				return err
			}
			cfg.Logger, cfg.Version = logger, versionWords()
			if cfg.Data == "" {
				if cfg.Data, err = boot.DefaultData(); err != nil {
					return err
				}
			}
			return c.dev(cmd.Context(), cfg)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Data, "data", "", "the folder that holds all state (default ~/.local/state/symbi)")
	f.StringVar(&cfg.Listen, "listen", "127.0.0.1:8080", "where the API listens")
	f.Int64Var(&cfg.Capacity.MemoryMB, "node-memory", 0, "MiB of memory for tasks (default: what the host has, less a reserve)")
	f.Float64Var(&cfg.Capacity.CPUCores, "node-cpu", 0, "cores for tasks (default: twice what the host has)")
	f.DurationVar(&cfg.LeaseTTL, "lease-ttl", 0, "how long programs go on without this process (default 10m)")
	f.StringVar(&cfg.InitBinary, "init-binary", "", "the symbi-init to use (default: the one beside this binary)")
	f.StringVar(&level, "log-level", "warn", "debug, info, warn or error")
	return cmd
}

// dev runs until it is told to stop.
func (c *cli) dev(ctx context.Context, cfg boot.DevConfig) error {
	began := time.Now()
	p, err := boot.Dev(ctx, cfg)
	if err != nil {
		return err
	}
	if err := c.announce(p, time.Since(began)); err != nil {
		return errors.Join(err, p.Stop())
	}
	select {
	case <-ctx.Done():
		c.note("stopping; what runs in sandboxes goes on, and the next `symbi dev` takes it over")
	case err = <-p.Failed():
	}
	return errors.Join(err, p.Stop())
}

// announce prints where everything is.
func (c *cli) announce(p *boot.DevProcess, took time.Duration) error {
	login, err := p.Login()
	if err != nil {
		return err
	}
	if err := writeSettings(settings{Server: p.URL, TokenFile: p.TokenFile}); err != nil {
		c.note("other commands need --server %s --token-file %s: %v", p.URL, p.TokenFile, err)
	}
	fmt.Fprintf(c.out, "symbi %s is ready after %s\n", versionWords(), short(took))
	fmt.Fprintf(c.out, "API      %s\n", p.URL)
	fmt.Fprintf(c.out, "Token    %s\n", p.TokenFile)
	fmt.Fprintf(c.out, "Log in   %s\n", login)
	for _, problem := range p.Problems {
		c.note("problem: %s", problem)
	}
	return nil
}

// newLogger writes the process's log to standard error.
func newLogger(level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, agent.Errorf(agent.ErrInvalid, "log level %s: use debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), nil
	}
	return nil, agent.Errorf(agent.ErrInvalid, "log format %s: use text or json", format)
}

func (c *cli) loginCommand() *cobra.Command {
	return &cobra.Command{
		Use: "login", Short: "Print a one-time link that opens the Temporal Web UI in a browser", Args: cobra.NoArgs,
		Example: "  symbi login",
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			link, err := conn.LoginLink(cmd.Context())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.out, link)
			return err
		},
	}
}
