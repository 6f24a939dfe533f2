package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"symbi.dev/symbi/internal/boot"
	"symbi.dev/symbi/internal/config"
)

// process is a server or a worker that runs.
type process interface {
	Failed() <-chan error
	Stop() error
}

func (c *cli) serverCommand() *cobra.Command {
	return c.processCommand("server", "Run the API against Temporal, PostgreSQL and NATS of your own",
		"  symbi server --config /etc/symbi/config.toml", map[string]string{"listen": "server.listen"},
		func(ctx context.Context, cfg boot.Config) (process, error) { return boot.Server(ctx, cfg) })
}

func (c *cli) workerCommand() *cobra.Command {
	return c.processCommand("worker", "Run one node against Temporal, PostgreSQL and NATS of your own",
		"  symbi worker --node a", map[string]string{"node": "worker.node"},
		func(ctx context.Context, cfg boot.Config) (process, error) { return boot.Worker(ctx, cfg) })
}

// processCommand makes a command that reads the settings and runs until it is
// told to stop. flags maps its flags to settings.
func (c *cli) processCommand(name, short, example string, flags map[string]string, start func(context.Context, boot.Config) (process, error)) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: name, Short: short, Example: example, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			overrides := map[string]any{}
			for flag, key := range flags {
				if f := cmd.Flags().Lookup(flag); f.Changed {
					overrides[key] = f.Value.String()
				}
			}
			settings, warnings, err := config.Load(path, os.Environ(), overrides)
			if err != nil {
				return err
			}
			logger, err := newLogger(settings.Log.Level, settings.Log.Format)
			if err != nil {
				return err
			}
			for _, w := range warnings {
				logger.Warn(w)
			}
			p, err := start(cmd.Context(), boot.Config{Config: settings, Version: versionWords(), Logger: logger})
			if err != nil {
				return err
			}
			select {
			case <-cmd.Context().Done():
			case err = <-p.Failed():
			}
			return errors.Join(err, p.Stop())
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "the settings file (default "+config.DefaultPath+")")
	for flag, key := range flags {
		cmd.Flags().String(flag, "", "overrides "+key)
	}
	return cmd
}
