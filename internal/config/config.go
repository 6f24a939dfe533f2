// Package config reads the settings of a server or a worker: a TOML file,
// overridden by environment variables, overridden by flags. Unknown keys in
// the file are refused by name; unknown SYMBI_ variables are warned of,
// because Kubernetes sets some of its own.
//
// Only internal/boot reads a Config whole; every part is handed its own few
// values.
package config

import "time"

// Config is every setting, with the file's keys. Defaults gives the rest.
type Config struct {
	Temporal Temporal `koanf:"temporal"`
	Database Database `koanf:"database"`
	NATS     NATS     `koanf:"nats"`
	Blob     Blob     `koanf:"blob"`
	Server   Server   `koanf:"server"`
	Worker   Worker   `koanf:"worker"`
	Security Security `koanf:"security"`
	Log      Log      `koanf:"log"`
}

// Temporal is the cluster that runs the workflows.
type Temporal struct {
	Address   string `koanf:"address"`
	Namespace string `koanf:"namespace"`
	// TokenFile holds a bearer token for the cluster's front end; empty for none.
	TokenFile string `koanf:"token_file"`
	// UIAddress is the cluster's Web UI, which the server serves behind its login; empty for none.
	UIAddress string `koanf:"ui_address"`
}

// Database is the PostgreSQL store.
type Database struct {
	URL      string `koanf:"url"`
	MaxConns int    `koanf:"max_conns"`
}

// NATS is what processes hear of each other by.
type NATS struct {
	URL string `koanf:"url"`
}

// Blob is where artifacts, inputs and large payloads lie.
type Blob struct {
	URL string `koanf:"url"`
}

// Server is the HTTP front end.
type Server struct {
	Listen    string `koanf:"listen"`
	TokenFile string `koanf:"token_file"` // the first admin token
}

// Worker is one node.
type Worker struct {
	Node     string        `koanf:"node"`      // default: the host's name
	DataDir  string        `koanf:"data_dir"`  // task folders and caches
	MemoryMB int64         `koanf:"memory_mb"` // for tasks; 0: what the host has, less a reserve
	CPUCores float64       `koanf:"cpu_cores"` // for tasks; 0: twice what the host has, for CPU is shared
	DiskMB   int64         `koanf:"disk_mb"`   // for tasks; 0: what is free, less a reserve
	LeaseTTL time.Duration `koanf:"lease_ttl"` // silence after which a task may start elsewhere
	// InitBinary overrides the symbi-init that the binary brings along.
	InitBinary string `koanf:"init_binary"`
}

// Security is what guards.
type Security struct {
	MasterKeyFile      string   `koanf:"master_key_file"`
	DefaultSandboxTier string   `koanf:"default_sandbox_tier"`
	TrustedDigests     []string `koanf:"trusted_digests"`
}

// Log is how logs are written.
type Log struct {
	Level  string `koanf:"level"`  // debug, info, warn, error
	Format string `koanf:"format"` // text, json
}

// Defaults are the settings of a process that was told nothing.
func Defaults() Config {
	return Config{
		Temporal: Temporal{Address: "127.0.0.1:7233", Namespace: "default"},
		Database: Database{MaxConns: 20},
		NATS:     NATS{URL: "nats://127.0.0.1:4222"},
		Server:   Server{Listen: "127.0.0.1:8080"},
		Worker:   Worker{DataDir: "/var/lib/symbi", LeaseTTL: 10 * time.Second},
		Security: Security{DefaultSandboxTier: "gvisor"},
		Log:      Log{Level: "info", Format: "text"},
	}
}
