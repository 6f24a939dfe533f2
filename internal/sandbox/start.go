package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"golang.org/x/sync/errgroup"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox/initproto"
)

// Start gives the sandbox of a lease and launches it unless that was done
// before, by this worker or an earlier one. Called again it obeys the newer
// of what it was told about freezing. That it could not be launched is an
// error of type *agent.Failure; that it was stopped meanwhile is an outcome.
// Of a lease that this driver has, Spec need hold no more than Lease, Frozen
// and Seq.
func (d *Driver) Start(ctx context.Context, spec Spec) (*Sandbox, error) {
	if err := d.folders.checkLease(spec.Lease); err != nil {
		return nil, err
	}
	v, err, _ := d.starting.Do(string(spec.Lease), func() (any, error) {
		sb, err := d.find(ctx, spec.Lease)
		if err != nil {
			return nil, err
		}
		if sb == nil {
			return d.launch(ctx, &spec)
		}
		if spec.Frozen {
			return sb, sb.Freeze(ctx, spec.Seq)
		}
		return sb, sb.Thaw(ctx, spec.Seq)
	})
	if err != nil {
		return nil, err
	}
	return v.(*Sandbox), nil
}

// find gives what there is of a lease already; nil if nothing was ever
// launched for it.
func (d *Driver) find(ctx context.Context, lease agent.LeaseID) (*Sandbox, error) {
	if sb, ok := d.Sandbox(lease); ok {
		return sb, nil
	}
	var outcome agent.Outcome
	err := readJSON(d.folders.settled(lease), &outcome)
	if err == nil {
		return d.settledSandbox(lease, outcome), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("look for an earlier outcome: %w", err)
	}
	if _, err := os.Stat(string(d.folders.task(lease))); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return d.adopt(ctx, lease)
}

// launch makes a sandbox and launches it, or holds it.
func (d *Driver) launch(ctx context.Context, spec *Spec) (*Sandbox, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	sb := d.newSandbox(spec.Lease)
	sb.spec = spec
	sb.rec = record{
		Lease: spec.Lease, Task: spec.Task, Attempt: spec.Attempt, Tier: spec.Tier,
		Resources: spec.Resources, ScratchMB: spec.ScratchMB, Obeyed: spec.Seq,
	}
	for _, in := range spec.Inputs {
		sb.rec.Inputs = append(sb.rec.Inputs, in.Name)
	}
	sb.held = spec.Frozen
	d.add(sb)
	if sb.held {
		return sb, nil
	}
	sb.control.Lock()
	defer sb.control.Unlock()
	if err := sb.launch(ctx); err != nil {
		d.drop(sb)
		return nil, err
	}
	return sb, nil
}

// launch prepares and starts the container. It is called with control held.
// Nothing is left behind when it fails. When Stop came first there is no
// error: the sandbox is over, cancelled.
func (sb *Sandbox) launch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sb.mu.Lock()
	sb.cancelLaunch = cancel
	sb.mu.Unlock()
	err := sb.prepare(ctx)
	sb.mu.Lock()
	sb.cancelLaunch = nil
	stopped := sb.rec.Stop != nil
	sb.mu.Unlock()
	if err == nil && !stopped {
		err = sb.run(ctx)
	}
	if err == nil && !stopped {
		return nil
	}
	if cerr := sb.clear(context.WithoutCancel(ctx)); cerr != nil {
		sb.log().Error("what was prepared for a sandbox is still there", "error", cerr)
	}
	if stopped {
		sb.finish(agent.Outcome{Cancelled: true, EndedAt: sb.d.cfg.Now(), Tier: sb.rec.Tier, Limits: sb.d.limits(&sb.rec)})
		return nil
	}
	return sb.launchFailure(err)
}

// prepare resolves the image, then makes the container and fills the folders
// that it mounts, at the same time.
func (sb *Sandbox) prepare(ctx context.Context) error {
	d, spec := sb.d, sb.spec
	img, err := d.programImage(ctx, spec.Program)
	if err != nil {
		return err
	}
	if err := checkImage(spec.Program, img); err != nil {
		return err
	}
	if err := sb.makeDirs(img); err != nil {
		return err
	}
	device, err := d.loop.attach(ctx, sb.folder.image(), sb.rec.ScratchMB)
	if err != nil {
		return err
	}
	defer device.close() // the mount keeps it
	sb.mu.Lock()
	sb.rec.Image, sb.rec.Digest, sb.rec.Init, sb.rec.Loop = img.Ref, img.Digest, d.task(spec, img), device.loopStart
	err = writeJSON(sb.folder.record(), &sb.rec)
	sb.mu.Unlock()
	if err != nil {
		return err
	}
	g, filling := errgroup.WithContext(ctx)
	g.Go(func() error { return sb.create(ctx, img, device) })
	g.Go(func() error { return sb.fill(filling, img, device) })
	return g.Wait()
}

// checkImage refuses an image that nothing could be run in.
func checkImage(p agent.Program, img Image) error {
	switch {
	case len(argv(p, img)) == 0:
		return &agent.Failure{
			Class: agent.FailProgram, Code: agent.CodeCommandNotFound,
			Cause:    fmt.Sprintf("neither the manifest nor the image %s says what to run", img.Ref),
			NextStep: "set program.container.command in the manifest",
		}
	case len(img.Volumes) > maxVolumes:
		return &agent.Failure{
			Class: agent.FailSandbox, Code: agent.CodeSandboxStart,
			Cause:    fmt.Sprintf("the image %s declares %d volumes; a sandbox has at most %d", img.Ref, len(img.Volumes), maxVolumes),
			NextStep: "build the image with fewer VOLUME lines",
		}
	}
	return nil
}

// makeDirs makes all folders that the container mounts.
func (sb *Sandbox) makeDirs(img Image) error {
	if err := sb.folder.makeDirs(); err != nil {
		return err
	}
	for n := range img.Volumes {
		if err := makeDir(sb.folder.volume(n), 0o755); err != nil {
			return err
		}
	}
	return makeDir(sb.d.folders.run(sb.lease), 0o711)
}

// create has the engine make the container. It sees the call through: one that
// is abandoned may still make a container, when nobody looks for it any more.
func (sb *Sandbox) create(ctx context.Context, img Image, device *loopDevice) error {
	config, host := sb.d.containerConfig(sb.spec, img, device.file.Name())
	ctx, cancel := engineCall(context.WithoutCancel(ctx))
	defer cancel()
	r, err := sb.d.engine.ContainerCreate(ctx, config, host, nil, nil, sb.d.containerName(sb.lease))
	if err != nil {
		return sb.d.engineFailure("create the container", sb.rec.Tier, err)
	}
	sb.mu.Lock()
	sb.container = r.ID
	sb.mu.Unlock()
	return nil
}

// fill mounts the folders, puts what the program reads in place, and opens
// the gateway.
func (sb *Sandbox) fill(ctx context.Context, img Image, device *loopDevice) error {
	if err := sb.folder.mountControl(); err != nil {
		return err
	}
	sb.d.watch.mounted(sb.folder.control())
	if err := device.mount(sb.folder.task()); err != nil {
		return err
	}
	for n := range img.Volumes {
		if err := makeOwned(sb.folder.volume(n), 0o755); err != nil {
			return err
		}
	}
	if err := sb.spec.put(ctx, sb.folder); err != nil {
		return err
	}
	return sb.openGateway()
}

// makeOwned makes a folder that belongs to the program.
func makeOwned(dir string, mode os.FileMode) error {
	if err := makeDir(dir, mode); err != nil {
		return err
	}
	return os.Chown(dir, initproto.UserID, initproto.UserID)
}

// run has the engine start the container, and begins to attend to it. The
// record says so first: a worker that dies in between never starts it again.
func (sb *Sandbox) run(ctx context.Context) error {
	sb.mu.Lock()
	sb.rec.launch(sb.d.cfg.Now())
	err := writeJSON(sb.folder.record(), &sb.rec)
	sb.mu.Unlock()
	if err != nil {
		return err
	}
	ctx, cancel := engineCall(context.WithoutCancel(ctx))
	defer cancel()
	if err := sb.d.engine.ContainerStart(ctx, sb.container, container.StartOptions{}); err != nil {
		if !sb.runsAnyway() {
			return sb.d.engineFailure("start the container", sb.rec.Tier, err)
		}
	}
	sb.d.attend(sb)
	return nil
}

// runsAnyway finds out whether a start that was answered with an error, or
// not at all, has happened.
func (sb *Sandbox) runsAnyway() bool {
	ctx, cancel := engineCall(context.WithoutCancel(sb.d.ctx))
	defer cancel()
	r, err := sb.d.engine.ContainerInspect(ctx, sb.container)
	return err == nil && r.State != nil && r.State.Status != container.StateCreated
}

// clear removes what was made for a sandbox.
func (sb *Sandbox) clear(ctx context.Context) error {
	sb.closeGateway()
	ctx, cancel := engineCall(ctx)
	defer cancel()
	err := sb.d.engine.ContainerRemove(ctx, sb.d.containerName(sb.lease), removeOptions)
	if cerrdefs.IsNotFound(err) || silent(err) && sb.container == "" {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("remove a container: %w", err) // it still has the folders
	}
	return errors.Join(sb.folder.remove(), os.RemoveAll(sb.d.folders.run(sb.lease)))
}

// launchFailure makes a failure of whatever kept a sandbox from starting.
func (sb *Sandbox) launchFailure(err error) error {
	var failure *agent.Failure
	switch {
	case errors.As(err, &failure):
		return failure
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, agent.ErrNotFound):
		return &agent.Failure{
			Class: agent.FailDependency, Code: agent.CodeBlobMissing, Cause: err.Error(),
			NextStep: "upload it again with `symbi task submit`",
		}
	}
	return &agent.Failure{
		Class: agent.FailSandbox, Code: agent.CodeSandboxStart, Cause: "prepare the sandbox: " + err.Error(),
		NextStep: "look at `symbi status` for what is wrong with node " + string(sb.d.cfg.Node) + "; then `symbi task retry`",
	}
}

// volume is the folder behind one of the image's volumes: of the task folder,
// so that it has its bound.
func (t taskFolder) volume(n int) string {
	return filepath.Join(t.task(), "volumes", strconv.Itoa(n))
}
