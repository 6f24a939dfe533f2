package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/config"
)

// file writes a settings file.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheFileIsOverriddenByTheEnvironmentAndThatByFlags(t *testing.T) {
	t.Parallel()
	path := file(t, "[temporal]\naddress = \"file:1\"\nnamespace = \"file\"\n[worker]\nnode = \"file\"\nlease_ttl = \"30s\"\nmemory_mb = 512\n")
	c, warnings, err := config.Load(path, []string{"SYMBI_TEMPORAL_NAMESPACE=env", "SYMBI_NODE=env"}, map[string]any{"worker.node": "flag"})
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if c.Temporal.Address != "file:1" || c.Temporal.Namespace != "env" || c.Worker.Node != "flag" ||
		c.Worker.LeaseTTL != 30*time.Second || c.Worker.MemoryMB != 512 {
		t.Errorf("%+v %+v", c.Temporal, c.Worker)
	}
	if c.NATS != config.Defaults().NATS {
		t.Errorf("what nothing says is not the default: %+v", c.NATS)
	}
}

func TestAFileThatIsNamedMustBeThere(t *testing.T) {
	t.Parallel()
	for _, environ := range [][]string{nil, {"SYMBI_CONFIG_PATH=/no/such/file.toml"}} {
		path := "/no/such/file.toml"
		if environ != nil {
			path = ""
		}
		if _, _, err := config.Load(path, environ, nil); !errors.Is(err, agent.ErrInvalid) || !strings.Contains(err.Error(), "/no/such/file.toml") {
			t.Errorf("%v", err)
		}
	}
	if _, _, err := config.Load("", nil, nil); err != nil {
		t.Errorf("without any: %v", err)
	}
}

func TestWhatIsNoSettingIsNamed(t *testing.T) {
	t.Parallel()
	_, _, err := config.Load(file(t, "[temporal]\nadress = \"x\"\n[wroker]\nnode = \"a\"\n"), nil, nil)
	for _, want := range []string{"temporal.adress", "wroker"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	_, warnings, err := config.Load("", []string{"SYMBI_NODES=a", "SYMBI_SERVER_SERVICE_HOST=10.0.0.1", "SYMBI_TOKEN_FILE=x", "HOME=/"}, nil)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "SYMBI_NODES") {
		t.Errorf("%v, warnings %v; want one for SYMBI_NODES", err, warnings)
	}
}

func TestAllWrongValuesAreNamedAtOnce(t *testing.T) {
	t.Parallel()
	_, _, err := config.Load(file(t, `
[security]
default_sandbox_tier = "firecracker"
trusted_digests = ["sha256:abc"]
[log]
level = "loud"
format = "xml"
[worker]
node = "A/B"
lease_ttl = "10ms"
`), nil, nil)
	for _, want := range []string{"security.default_sandbox_tier", "security.trusted_digests[0]", "log.level", "log.format", "worker.node", "worker.lease_ttl"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if _, _, err := config.Load(file(t, "[worker]\nmemory_mb = \"much\"\n"), nil, nil); !errors.Is(err, agent.ErrInvalid) {
		t.Errorf("a word for a number: %v", err)
	}
	if _, _, err := config.Load(file(t, "[worker\n"), nil, nil); !errors.Is(err, agent.ErrInvalid) {
		t.Errorf("no TOML: %v", err)
	}
}

func TestASecretThatOthersMayReadIsRefusedWithTheFix(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("the secret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := config.ReadSecret(path); err == nil || !strings.Contains(err.Error(), "chmod 600") || strings.Contains(err.Error(), "the secret") {
		t.Errorf("%v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := config.ReadSecret(path); err != nil || s != "the secret" {
		t.Errorf("%q, %v", s, err)
	}
}
