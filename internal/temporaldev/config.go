package temporaldev

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"symbi.dev/symbi/agent"
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

const (
	// minRetention is the least that Temporal accepts for a namespace.
	minRetention = time.Hour
	// minTokenLength refuses tokens that could be guessed: 16 characters of
	// base64 are 96 bits.
	minTokenLength = 16
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

// validate gives an ErrInvalid that lists everything wrong, or nil. It expects
// WithDefaults to have been applied.
func (c Config) validate() error {
	var wrong []agent.FieldError
	field := func(path, format string, args ...any) {
		wrong = append(wrong, agent.FieldError{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	if c.Dir == "" {
		field("dir", "name the folder that holds the database")
	}
	if len(c.Token) < minTokenLength {
		field("token", "must have at least %d characters", minTokenLength)
	}
	if host, _, err := net.SplitHostPort(c.FrontendAddress); err != nil {
		field("frontend_address", "must be host:port, like %s", DefaultFrontendAddress)
	} else if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		field("frontend_address", "%q is not a loopback address", host)
	}
	if c.Retention < minRetention {
		field("retention", "must be at least %s", minRetention)
	}
	if !strings.HasPrefix(c.PublicPath, "/") || strings.HasSuffix(c.PublicPath, "/") {
		field("public_path", "must begin with a slash and not end with one")
	}
	for _, name := range slices.Sorted(maps.Keys(c.SearchAttributes)) {
		if c.SearchAttributes[name] == enumspb.INDEXED_VALUE_TYPE_UNSPECIFIED {
			field("search_attributes."+name, "has no type")
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return agent.InvalidFields("configuration of the embedded Temporal server", wrong)
}

// makeDir makes the data folder, readable by its owner alone.
func (c Config) makeDir() error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return agent.Errorf(agent.ErrUnavailable, "make the folder of the embedded Temporal server: %w", err)
	}
	return nil
}
