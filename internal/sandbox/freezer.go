package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	cerrdefs "github.com/containerd/errdefs"

	"symbi.dev/symbi/agent"
)

// A gVisor sandbox is frozen by the kernel's freezer, with all its processes,
// and not by the engine's pause, of which two things are wrong: gVisor's own
// kernel goes on using a little CPU time, and a paused sandbox that is killed
// is never cleaned up after, for runsc believes it paused for ever and leaves
// its shim and its accounts behind. Where the freezer is out of a worker's
// reach it is the engine after all. Docker's tier is frozen by the engine,
// which uses the freezer itself.
//
// Frozen processes take no signal, not even SIGKILL, until they are let go.

// freeze has the container's processes stand still.
func (sb *Sandbox) freeze(ctx context.Context) error {
	if sb.rec.Tier == agent.TierGVisor && sb.awaitIdentified(ctx) {
		err := sb.freezerTurn(true)
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			sb.log().Warn("a sandbox is frozen by the engine's pause, which is not as still", "error", err)
		}
	}
	ctx, cancel := engineCall(ctx)
	defer cancel()
	return sb.d.engine.ContainerPause(ctx, sb.container)
}

// unfreeze lets them go on; that they are not frozen any more, or over, is no
// error.
func (sb *Sandbox) unfreeze(ctx context.Context) error {
	if sb.rec.Tier == agent.TierGVisor && sb.awaitIdentified(ctx) {
		if err := sb.freezerTurn(false); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if !sb.paused(ctx) {
			return nil
		}
	}
	ctx, cancel := engineCall(ctx)
	defer cancel()
	if err := sb.d.engine.ContainerUnpause(ctx, sb.container); err != nil && sb.paused(ctx) {
		return err
	}
	return nil
}

// paused reports whether the engine has the container paused; where it does not
// say, it may have.
func (sb *Sandbox) paused(ctx context.Context) bool {
	ctx, cancel := engineCall(ctx)
	defer cancel()
	r, err := sb.d.engine.ContainerInspect(ctx, sb.container)
	if cerrdefs.IsNotFound(err) {
		return false
	}
	return err != nil || r.State != nil && r.State.Paused
}

// freezerTurn turns the freezer on or off for a container that was identified.
// It is an error of kind fs.ErrNotExist when there is none, or no container.
func (sb *Sandbox) freezerTurn(on bool) error {
	sb.mu.Lock()
	group := sb.group
	sb.mu.Unlock()
	if group == nil {
		return fs.ErrNotExist
	}
	err := group.freezerTurn(on)
	if err != nil && on {
		_ = group.freezerTurn(false)
	}
	return err
}

const (
	// freezePatience is how long a container's processes may take to stand
	// still: one that waits for a slow disk does so first.
	freezePatience = 2 * time.Second
	freezeLook     = time.Millisecond
)

// freezerTurn turns the freezer on, and waits until all processes stand still,
// or off.
func (g *cgroup) freezerTurn(on bool) error {
	file, word := filepath.Join(g.path["freezer"], "freezer.state"), "THAWED"
	if on {
		word = "FROZEN"
	}
	if g.v2 {
		file, word = filepath.Join(g.path[""], "cgroup.freeze"), strconv.Itoa(map[bool]int{true: 1}[on])
	}
	for patience := time.Now().Add(freezePatience); ; {
		if err := os.WriteFile(file, []byte(word), 0); err != nil {
			return fmt.Errorf("freeze a container's processes: %w", err)
		}
		if !on || g.frozen() {
			return nil
		}
		if time.Now().After(patience) {
			return fmt.Errorf("freeze a container's processes: they do not stand still within %s", freezePatience)
		}
		time.Sleep(freezeLook)
	}
}

// frozen reports whether the freezer holds all of a container's processes.
func (g *cgroup) frozen() bool {
	if g.v2 {
		return fields(g.path[""], "cgroup.events")["frozen"] == 1
	}
	state, err := os.ReadFile(filepath.Join(g.path["freezer"], "freezer.state"))
	return err == nil && string(bytes.TrimSpace(state)) == "FROZEN"
}
