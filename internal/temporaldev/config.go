package temporaldev

import (
	"cmp"
	"log/slog"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
)

// What Config's zero values stand for.
const (
	// DefaultNamespace is the one Temporal namespace of an installation.
	DefaultNamespace = "default"
	// DefaultFrontendAddress lets the kernel choose the port.
	DefaultFrontendAddress = "127.0.0.1:0"
	// DefaultRetention is how long closed workflows stay; long enough to look
	// at last month's work, short enough to bound a folder that is used daily.
	DefaultRetention = 30 * 24 * time.Hour
	// DefaultPublicPath is where the Web UI is mounted.
	DefaultPublicPath = "/temporal"
)

// Config says what to start. Dir and Token are needed; the rest has defaults.
type Config struct {
	// Dir is the folder of the database file. It is made, mode 0700, if absent.
	// It must not be shared between two servers that run.
	Dir string
	// Namespace is created if it does not exist.
	Namespace string
	// FrontendAddress is host:port of the gRPC frontend; the host must be
	// loopback, and port 0 takes a free one.
	FrontendAddress string
	// Token is what every caller of the frontend must present as a bearer
	// token. It is kept in memory and never logged.
	Token string
	// SearchAttributes are the namespace's own, by name. SQLite visibility has
	// ten of type Keyword and three each of the others. None is ever removed.
	SearchAttributes map[string]enumspb.IndexedValueType
	// Retention is how long closed workflows are kept. It is applied to an
	// existing namespace too.
	Retention time.Duration
	// Logger receives what Temporal logs at LogLevel or above.
	Logger *slog.Logger
	// LogLevel is slog.LevelWarn if nil: Temporal's Info is a running
	// commentary.
	LogLevel slog.Leveler
	// PublicPath is the path under which UIHandler is mounted, "/temporal".
	PublicPath string
	// CodecEndpoint is what the Web UI puts before "/decode" to have payloads
	// decrypted; a path such as "/temporal/codec" means the origin that serves
	// the UI. Empty: payloads are shown as they are stored.
	CodecEndpoint string
}

// WithDefaults gives a copy in which zero values are replaced.
func (c Config) WithDefaults() Config {
	c.Namespace = cmp.Or(c.Namespace, DefaultNamespace)
	c.FrontendAddress = cmp.Or(c.FrontendAddress, DefaultFrontendAddress)
	c.Retention = cmp.Or(c.Retention, DefaultRetention)
	c.PublicPath = cmp.Or(c.PublicPath, DefaultPublicPath)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.LogLevel == nil {
		c.LogLevel = slog.LevelWarn
	}
	return c
}
