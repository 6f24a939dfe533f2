//go:build dev

package temporaldev

import (
	"fmt"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"symbi.dev/symbi/agent"
)

const (
	// minRetention is the least that Temporal accepts for a namespace.
	minRetention = time.Hour
	// minTokenLength refuses tokens that could be guessed: 16 characters of
	// base64 are 96 bits.
	minTokenLength = 16
)

// publicPath is what needs no escape in a URL, a page or a script.
var publicPath = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`)

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
	if !publicPath.MatchString(c.PublicPath) {
		field("public_path", "must be a path of letters, digits, '.', '_' and '-' without a slash at its end, like %s", DefaultPublicPath)
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
