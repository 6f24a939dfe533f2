package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/structs"
	"github.com/knadh/koanf/v2"

	"symbi.dev/symbi/agent"
)

// DefaultPath is read when no file is named; it need not exist.
const DefaultPath = "/etc/symbi/config.toml"

// variables maps environment variables to keys.
var variables = map[string]string{
	"SYMBI_TEMPORAL_ADDRESS":    "temporal.address",
	"SYMBI_TEMPORAL_NAMESPACE":  "temporal.namespace",
	"SYMBI_TEMPORAL_TOKEN_FILE": "temporal.token_file",
	"SYMBI_TEMPORAL_UI":         "temporal.ui_address",
	"SYMBI_DATABASE_URL":        "database.url",
	"SYMBI_NATS_URL":            "nats.url",
	"SYMBI_BLOB_URL":            "blob.url",
	"SYMBI_LISTEN":              "server.listen",
	"SYMBI_ADMIN_TOKEN_FILE":    "server.token_file",
	"SYMBI_NODE":                "worker.node",
	"SYMBI_DATA_DIR":            "worker.data_dir",
	"SYMBI_INIT_BINARY":         "worker.init_binary",
	"SYMBI_LEASE_TTL":           "worker.lease_ttl",
	"SYMBI_MASTER_KEY_FILE":     "security.master_key_file",
	"SYMBI_LOG_LEVEL":           "log.level",
	"SYMBI_LOG_FORMAT":          "log.format",
}

// elsewhere are variables that other parts of the binary read: the command
// line's own, and what programs see inside a sandbox.
var elsewhere = []string{"SYMBI_CONFIG_PATH", "SYMBI_SERVER", "SYMBI_TOKEN_FILE", "SYMBI_DATA"}

// Load reads the settings. path may be empty: then SYMBI_CONFIG_PATH or
// DefaultPath is read, the latter only if it is there. overrides are flags, by key.
// The warnings are for the log.
func Load(path string, environ []string, overrides map[string]any) (Config, []string, error) {
	k := koanf.New(".")
	if err := k.Load(structs.Provider(Defaults(), "koanf"), nil); err != nil {
		return Config{}, nil, fmt.Errorf("read the default settings: %w", err)
	}
	known := k.Keys()
	env := environment(environ)
	if err := loadFile(k, path, env["SYMBI_CONFIG_PATH"]); err != nil {
		return Config{}, nil, err
	}
	if err := refuseUnknown(k, known); err != nil {
		return Config{}, nil, err
	}
	for name, key := range variables {
		if v, set := env[name]; set {
			if err := k.Set(key, v); err != nil {
				return Config{}, nil, fmt.Errorf("read %s: %w", name, err)
			}
		}
	}
	for key, v := range overrides {
		if err := k.Set(key, v); err != nil {
			return Config{}, nil, fmt.Errorf("read %s: %w", key, err)
		}
	}
	var c Config
	if err := k.Unmarshal("", &c); err != nil {
		return Config{}, nil, agent.Errorf(agent.ErrInvalid, "a setting has the wrong type: %w", err)
	}
	return c, unknownVariables(env), c.check()
}

func loadFile(k *koanf.Koanf, path, fromEnv string) error {
	optional := false
	if path == "" {
		path = fromEnv
	}
	if path == "" {
		path, optional = DefaultPath, true
	}
	err := k.Load(file.Provider(path), toml.Parser())
	if err == nil || optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return agent.Errorf(agent.ErrInvalid, "read the settings file %s: %w", path, err)
}

func refuseUnknown(k *koanf.Koanf, known []string) error {
	var fields []agent.FieldError
	for _, key := range k.Keys() {
		if !slices.Contains(known, key) {
			fields = append(fields, agent.FieldError{Path: key, Message: "there is no such setting"})
		}
	}
	if len(fields) > 0 {
		return agent.InvalidFields("settings file", fields)
	}
	return nil
}

func environment(environ []string) map[string]string {
	env := map[string]string{}
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok && strings.HasPrefix(name, "SYMBI_") {
			env[name] = value
		}
	}
	return env
}

// unknownVariables warns of what looks like a setting and is none. Variables
// that Kubernetes makes for a service called symbi-… are left alone.
func unknownVariables(env map[string]string) []string {
	var warnings []string
	for name := range env {
		_, known := variables[name]
		if known || slices.Contains(elsewhere, name) || isServiceLink(name) {
			continue
		}
		warnings = append(warnings, name+" is not a setting and is ignored")
	}
	slices.Sort(warnings)
	return warnings
}

func isServiceLink(name string) bool {
	return strings.Contains(name, "_SERVICE_HOST") || strings.Contains(name, "_SERVICE_PORT") ||
		strings.Contains(name, "_PORT_") || strings.HasSuffix(name, "_PORT")
}

// check refuses values that could not work, all at once.
func (c Config) check() error {
	var fields []agent.FieldError
	bad := func(path, format string, args ...any) {
		fields = append(fields, agent.FieldError{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	if t := agent.Tier(c.Security.DefaultSandboxTier); t != agent.TierDocker && t != agent.TierGVisor {
		bad("security.default_sandbox_tier", "%q is not a tier: use gvisor or docker", t)
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		bad("log.level", "%q is not a level: use debug, info, warn or error", c.Log.Level)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		bad("log.format", "%q is not a format: use text or json", c.Log.Format)
	}
	if c.Worker.LeaseTTL < time.Second {
		bad("worker.lease_ttl", "%s is too short: a node needs at least 1s to give a sign of life", c.Worker.LeaseTTL)
	}
	if c.Worker.Node != "" {
		if err := agent.CheckName(c.Worker.Node); err != nil {
			bad("worker.node", "%v", err)
		}
	}
	for i, d := range c.Security.TrustedDigests {
		if !agent.Digest(d).Valid() {
			bad(fmt.Sprintf("security.trusted_digests[%d]", i), "%q is not a digest: write sha256: and 64 hexadecimal digits", d)
		}
	}
	if len(fields) > 0 {
		return agent.InvalidFields("settings", fields)
	}
	return nil
}

// ReadSecret reads a file that holds one secret and must be nobody else's.
func ReadSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", agent.Errorf(agent.ErrInvalid, "read a secret: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", agent.Errorf(agent.ErrInvalid, "%s may be read by others; run `chmod 600 %s`", path, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", agent.Errorf(agent.ErrInvalid, "read a secret: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
