package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"symbi.dev/symbi/agent"
)

// standStill freezes the processes of a gVisor sandbox themselves, or lets them
// go on. The engine's pause only has gVisor hold the program: its kernel, an
// ordinary process, goes on using a little CPU time. Of the other tier the
// engine has frozen all there is.
//
// Frozen processes take no signal, not even SIGKILL, until they are let go.
func (sb *Sandbox) standStill(still bool) error {
	sb.mu.Lock()
	group := sb.group
	sb.mu.Unlock()
	if group == nil || sb.rec.Tier != agent.TierGVisor {
		return nil
	}
	file, word := filepath.Join(group.path["freezer"], "freezer.state"), "THAWED"
	if still {
		word = "FROZEN"
	}
	if group.v2 {
		file, word = filepath.Join(group.path[""], "cgroup.freeze"), "0"
		if still {
			word = "1"
		}
	}
	err := os.WriteFile(file, []byte(word), 0)
	if err == nil || errors.Is(err, fs.ErrNotExist) { // it is gone with the container
		return nil
	}
	return fmt.Errorf("freeze a sandbox's processes: %w", err)
}
