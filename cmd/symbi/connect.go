package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/spf13/cobra"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/client"
)

// cli is what all commands share.
type cli struct {
	out, errOut io.Writer
	server      string
	tokenFile   string
	namespace   string
	format      string
}

// defaultServer is where `symbi dev` listens.
const defaultServer = "http://127.0.0.1:8080"

func (c *cli) addConnectionFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&c.server, "server", "", "the server's address (SYMBI_SERVER, or what `symbi dev` wrote)")
	f.StringVar(&c.tokenFile, "token-file", "", "the file of the token (SYMBI_TOKEN_FILE, or what `symbi dev` wrote)")
	f.StringVarP(&c.namespace, "namespace", "n", string(agent.DefaultNamespace), "the namespace")
}

// addOutputFlag lets a command print for programs.
func (c *cli) addOutputFlag(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&c.format, "output-format", "o", "table", "table, json or yaml")
}

// settings are what `symbi dev` leaves for the other commands.
type settings struct {
	Server    string
	TokenFile string
}

// settingsPath is ~/.config/symbi/cli.toml.
func settingsPath() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the settings: %w", err)
	}
	return filepath.Join(dir, "symbi", "cli.toml"), nil
}

func readSettings() (settings, error) {
	path, err := settingsPath()
	if err != nil {
		return settings{}, nil // without a home there are none
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return settings{}, nil
	}
	if err != nil {
		return settings{}, agent.Errorf(agent.ErrInvalid, "read the settings: %w", err)
	}
	m, err := toml.Parser().Unmarshal(b)
	if err != nil {
		return settings{}, agent.Errorf(agent.ErrInvalid, "read the settings in %s: %w", path, err)
	}
	server, _ := m["server"].(string)
	token, _ := m["token_file"].(string)
	return settings{Server: server, TokenFile: token}, nil
}

// writeSettings leaves what the other commands need to find this server.
func writeSettings(s settings) error {
	path, err := settingsPath()
	if err != nil {
		return err
	}
	b, err := toml.Parser().Marshal(map[string]any{"server": s.Server, "token_file": s.TokenFile})
	if err != nil {
		return fmt.Errorf("write the settings: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write the settings: %w", err)
	}
	return os.WriteFile(path, b, 0o600)
}

// connect makes the connection that flags, environment or settings name.
func (c *cli) connect() (*client.Conn, error) {
	s, err := readSettings()
	if err != nil {
		return nil, err
	}
	server := cmp.Or(c.server, os.Getenv("SYMBI_SERVER"), s.Server, defaultServer)
	file := cmp.Or(c.tokenFile, os.Getenv("SYMBI_TOKEN_FILE"), s.TokenFile)
	if file == "" {
		return nil, agent.Errorf(agent.ErrInvalid, "no token: start `symbi dev` here, or name the token's file with --token-file or SYMBI_TOKEN_FILE")
	}
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o077 != 0 {
		c.note("the token in %s may be read by others; run `chmod 600 %s`", file, file)
	}
	token, err := client.ReadToken(file)
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{Server: server, Token: token})
}

// note tells the user something that is not the command's output.
func (c *cli) note(format string, args ...any) { fmt.Fprintf(c.errOut, format+"\n", args...) }

// ref is an agent in the namespace of the flags.
func (c *cli) ref(name string) agent.Ref {
	return agent.Ref{Namespace: agent.Namespace(c.namespace), Name: agent.Name(name)}
}
