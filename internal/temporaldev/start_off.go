//go:build !dev

package temporaldev

import (
	"context"

	"symbi.dev/symbi/agent"
)

// Start fails with ErrUnavailable: this build has no Temporal server in it.
func Start(context.Context, Config) (*Server, error) {
	return nil, agent.Errorf(agent.ErrUnavailable,
		"this build has no embedded Temporal; build with -tags dev or point SYMBI_TEMPORAL_ADDRESS at a cluster")
}
