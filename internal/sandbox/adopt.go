package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"golang.org/x/sync/errgroup"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox/initproto"
)

// Adopt takes over what earlier workers of this node left: sockets are served
// again, timeouts count on, and what has ended waits for whoever asks for it.
// A sandbox that is frozen and had no worker for longer than its lease lives
// is killed. Call it once, before work is taken. Without an engine it leaves
// all to later calls of Start.
func (d *Driver) Adopt(ctx context.Context) error {
	leases, err := d.folders.leases()
	if err != nil {
		return err
	}
	errs := make([]error, len(leases))
	var g errgroup.Group
	g.SetLimit(adoptAtOnce)
	for i, lease := range leases {
		g.Go(func() error {
			errs[i] = d.adoptOne(ctx, lease)
			return nil
		})
	}
	return errors.Join(append(errs, g.Wait())...)
}

// adoptAtOnce bounds how many sandboxes are taken over at the same time.
const adoptAtOnce = 8

func (d *Driver) adoptOne(ctx context.Context, lease agent.LeaseID) error {
	_, err := d.find(ctx, lease)
	var failure *agent.Failure
	if err == nil || errors.As(err, &failure) && failure.Code == agent.CodeEngineMissing {
		return nil
	}
	return fmt.Errorf("adopt the sandbox of lease %s: %w", lease, err)
}

// adopt takes over what there is of one lease, by what its record and the
// engine say:
//
//	record      container         what is done
//	none        any               removed: nothing was started
//	prepared    any               removed: nothing was started
//	launched    created           removed: the engine never heard of the start
//	launched    running, paused   attended to
//	launched    exited            concluded
//	launched    gone              concluded: it is not started again
//
// It gives nil where nothing was started.
func (d *Driver) adopt(ctx context.Context, lease agent.LeaseID) (*Sandbox, error) {
	sb := d.newSandbox(lease)
	err := readJSON(sb.folder.record(), &sb.rec)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.cfg.Logger.Error("a sandbox's record is unreadable; what was left of it is removed", "lease", string(lease), "error", err)
	}
	if err != nil || sb.rec.LaunchedAt.IsZero() {
		return nil, sb.clear(ctx)
	}
	callCtx, cancel := engineCall(ctx)
	defer cancel()
	r, err := d.engine.ContainerInspect(callCtx, d.containerName(lease))
	removed := cerrdefs.IsNotFound(err)
	switch {
	case err != nil && !removed:
		return nil, d.engineFailure("look at the container", sb.rec.Tier, err)
	case !removed && r.State.Status == container.StateCreated:
		return nil, sb.clearUnstarted(ctx, r.ID)
	}
	if !sb.rec.StartedAt.IsZero() {
		close(sb.started)
	}
	d.add(sb)
	if removed {
		close(sb.identified)
		sb.conclude(ending{gone: true})
		return sb, nil
	}
	sb.container = r.ID
	if !r.State.Running {
		close(sb.identified)
		sb.conclude(ending{})
		return sb, nil
	}
	return sb, sb.takeOver(ctx, r.State)
}

// clearUnstarted removes a container that was never started. One that the
// engine is starting just now refuses to go without force: then the earlier
// worker's call came through after all.
func (sb *Sandbox) clearUnstarted(ctx context.Context, id string) error {
	callCtx, cancel := engineCall(ctx)
	defer cancel()
	err := sb.d.engine.ContainerRemove(callCtx, id, container.RemoveOptions{RemoveVolumes: true})
	if err != nil && !cerrdefs.IsNotFound(err) {
		return sb.d.engineFailure("remove a container that was never started", sb.rec.Tier, err)
	}
	return sb.clear(ctx)
}

// takeOver attends to a container that runs or is frozen.
func (sb *Sandbox) takeOver(ctx context.Context, state *container.State) error {
	sb.control.Lock()
	defer sb.control.Unlock()
	sb.noteLeftStart()
	frozen := state.Paused || sb.foundFrozen(state.Pid)
	sb.noteFreeze(frozen)
	if frozen && sb.d.away > sb.d.cfg.LeaseTTL {
		sb.d.attend(sb)
		<-sb.identified
		why := fmt.Sprintf("it was frozen while no worker was there for %s", shownTime(sb.d.away))
		return sb.order(ctx, stopFenced, why, 0)
	}
	if err := sb.openGateway(); err != nil {
		return fmt.Errorf("open the gateway of lease %s: %w", sb.lease, err)
	}
	sb.d.attend(sb)
	return nil
}

// noteLeftStart takes over what init wrote of the program's start, where the
// earlier worker died before it heard of it.
func (sb *Sandbox) noteLeftStart() {
	info, err := os.Stat(filepath.Join(sb.folder.control(), filepath.Base(initproto.StartedFile)))
	if err == nil {
		sb.noteStarted(within(info.ModTime(), sb.rec.LaunchedAt, sb.d.cfg.Now()))
	}
}

// foundFrozen reports whether the freezer holds the container of a process.
func (sb *Sandbox) foundFrozen(pid int) bool {
	proc, err := openProcess(pid, sb.container)
	if err != nil {
		return false
	}
	defer proc.close()
	group, err := proc.cgroup(sb.rec.Loop)
	return err == nil && group.frozen()
}

// noteFreeze makes the record agree with what is found where the earlier worker
// died in between. When it happened is not known then; it was when that
// worker was last there.
func (sb *Sandbox) noteFreeze(frozen bool) {
	sb.mu.Lock()
	defer sb.mu.Unlock()
	if frozen == !sb.rec.FrozenSince.IsZero() {
		return
	}
	now := sb.d.cfg.Now()
	at := within(now.Add(-min(sb.d.away, now.Sub(sb.rec.LaunchedAt))), sb.rec.LaunchedAt, now)
	if frozen {
		sb.rec.freeze(at)
	} else {
		sb.rec.thaw(within(at, sb.rec.FrozenSince, now))
	}
	sb.save()
}

func shownTime(d time.Duration) string {
	if d > 1000*time.Hour {
		return "an unknown time"
	}
	return d.Round(time.Second).String()
}

// settledSandbox stands for a sandbox whose work is done.
func (d *Driver) settledSandbox(lease agent.LeaseID, o agent.Outcome) *Sandbox {
	sb := d.newSandbox(lease)
	sb.outcome, sb.settled, sb.removed = o, true, true
	close(sb.identified)
	close(sb.started)
	close(sb.done)
	return sb
}

// containers lists the engine's containers of this installation and node.
func (d *Driver) containers(ctx context.Context) ([]container.Summary, error) {
	ctx, cancel := engineCall(ctx)
	defer cancel()
	list, err := d.engine.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(
		filters.Arg("label", labelInstallation+"="+d.cfg.Installation),
		filters.Arg("label", labelNode+"="+string(d.cfg.Node)),
	)})
	if err != nil {
		return nil, fmt.Errorf("list the node's containers: %w", err)
	}
	return list, nil
}
