//go:build !dev

package temporaldev_test

import (
	"errors"
	"strings"
	"testing"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/temporaldev"
)

func TestBuildWithoutTheServerSaysWhatToDo(t *testing.T) {
	t.Parallel()
	_, err := temporaldev.Start(t.Context(), temporaldev.Config{})
	if !errors.Is(err, agent.ErrUnavailable) {
		t.Fatalf("Start: %v, want unavailable", err)
	}
	for _, want := range []string{"-tags dev", "SYMBI_TEMPORAL_ADDRESS"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %q, want it to say %q", err, want)
		}
	}
}
