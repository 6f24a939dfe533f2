package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"symbi.dev/symbi/agent"
)

// Settle says that the work of this sandbox is done with an outcome: it is
// kept on the node, so that a Start with the same lease, from somebody who
// never heard of the end, gives it instead of running the program again; and
// the sandbox is removed. Sweep forgets it with its lease.
func (sb *Sandbox) Settle(ctx context.Context, o agent.Outcome) error {
	if err := writeJSON(sb.d.folders.settled(sb.lease), o); err != nil {
		return fmt.Errorf("keep the outcome of a sandbox: %w", err)
	}
	if err := sb.Remove(ctx); err != nil {
		// The work is done all the same. Sweep tries again.
		sb.log().Warn("a sandbox that has ended is not removed yet", "error", err)
	}
	return nil
}

// Remove leaves nothing of the sandbox: no container, mount, loop device,
// folder or socket. One that runs is killed.
func (sb *Sandbox) Remove(ctx context.Context) error {
	if err := sb.end(ctx); err != nil {
		return err
	}
	sb.control.Lock()
	defer sb.control.Unlock()
	if sb.isRemoved() {
		return nil
	}
	if err := sb.clear(ctx); err != nil {
		return err
	}
	sb.mu.Lock()
	sb.removed = true
	sb.mu.Unlock()
	sb.d.drop(sb)
	return nil
}

// end kills what runs and waits until it is over.
func (sb *Sandbox) end(ctx context.Context) error {
	if sb.ended() {
		return nil
	}
	err := func() error {
		sb.control.Lock()
		defer sb.control.Unlock()
		return sb.order(ctx, stopAsked, "it was removed", 0)
	}()
	if err != nil {
		return sb.d.controlError("end", err)
	}
	_, err = sb.Wait(ctx)
	return err
}

func (sb *Sandbox) isRemoved() bool {
	sb.mu.Lock()
	defer sb.mu.Unlock()
	return sb.removed
}

// orphanAge is how old something must be before it can be an orphan: leases
// are known to the store before a node hears of them, so that this only
// covers clocks and delays.
const orphanAge = 2 * time.Minute

// Sweep removes what belongs to no lease any more: sandboxes, containers,
// folders and kept outcomes whose lease known denies and that are old enough.
// Call it now and then.
func (d *Driver) Sweep(ctx context.Context, known func(agent.LeaseID) bool) error {
	return d.sweep(ctx, known, d.cfg.Now().Add(-orphanAge))
}

func (d *Driver) sweep(ctx context.Context, known func(agent.LeaseID) bool, before time.Time) error {
	var errs []error
	settled, err := d.folders.settledLeases()
	errs = append(errs, err)
	for _, lease := range settled {
		if path := d.folders.settled(lease); olderThan(path, before) && !known(lease) {
			errs = append(errs, os.Remove(path))
		}
	}
	leases, err := d.folders.leases()
	errs = append(errs, err)
	for _, lease := range leases {
		if olderThan(string(d.folders.task(lease)), before) && !known(lease) {
			errs = append(errs, d.removeOrphan(ctx, lease))
		}
	}
	return errors.Join(append(errs, d.sweepContainers(ctx, known, before))...)
}

// sweepContainers removes containers that have no folder.
func (d *Driver) sweepContainers(ctx context.Context, known func(agent.LeaseID) bool, before time.Time) error {
	list, err := d.containers(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range list {
		lease := agent.LeaseID(c.Labels[labelLease])
		_, err := os.Stat(string(d.folders.task(lease)))
		if !errors.Is(err, os.ErrNotExist) || time.Unix(c.Created, 0).After(before) || known(lease) {
			continue
		}
		if d.folders.checkLease(lease) == nil {
			errs = append(errs, d.removeOrphan(ctx, lease))
		}
	}
	return errors.Join(errs...)
}

// removeOrphan removes all of one lease.
func (d *Driver) removeOrphan(ctx context.Context, lease agent.LeaseID) error {
	d.cfg.Logger.Warn("removing a sandbox whose lease nobody knows", "lease", string(lease))
	sb, ok := d.Sandbox(lease)
	if !ok {
		return d.newSandbox(lease).clear(ctx)
	}
	return sb.Remove(ctx)
}

func olderThan(path string, t time.Time) bool {
	info, err := os.Stat(path)
	return err == nil && info.ModTime().Before(t)
}
