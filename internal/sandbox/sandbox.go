package sandbox

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox/initproto"
)

// Sandbox is one attempt's container, from before it is launched until it is
// removed. All methods may be called from any goroutine.
type Sandbox struct {
	d      *Driver
	lease  agent.LeaseID
	folder taskFolder
	spec   *Spec // nil for one that was launched by an earlier worker

	// control is held while the engine is told to change something, so that
	// orders are carried out one by one. It is taken before mu.
	control sync.Mutex

	mu           sync.Mutex // guards what follows
	rec          record
	held         bool               // not launched: a hold stands
	cancelLaunch context.CancelFunc // while it is being launched
	container    string             // the engine's ID
	gateway      io.Closer
	proc         *process
	group        *cgroup
	outcome      agent.Outcome // once done is closed
	settled      bool          // the outcome is an earlier one, completed by Settle
	removed      bool

	changed    chan struct{} // has one element when what is due may have changed
	identified chan struct{} // closed when proc and group are as known as they will be
	started    chan struct{} // closed when the program was started
	done       chan struct{} // closed when the container is over
}

func (d *Driver) newSandbox(lease agent.LeaseID) *Sandbox {
	return &Sandbox{
		d: d, lease: lease, folder: d.folders.task(lease),
		changed: make(chan struct{}, 1), identified: make(chan struct{}), started: make(chan struct{}), done: make(chan struct{}),
	}
}

// Lease names the sandbox.
func (sb *Sandbox) Lease() agent.LeaseID { return sb.lease }

// Started is closed when the program was started, and when the sandbox is over
// without that.
func (sb *Sandbox) Started() <-chan struct{} { return sb.started }

// Done is closed when the sandbox is over.
func (sb *Sandbox) Done() <-chan struct{} { return sb.done }

// Wait waits until the sandbox is over and gives its outcome, whose artifacts
// and log are still to be collected. Its only error is that of ctx.
func (sb *Sandbox) Wait(ctx context.Context) (agent.Outcome, error) {
	select {
	case <-sb.done:
		return sb.outcome, nil
	case <-ctx.Done():
		return agent.Outcome{}, context.Cause(ctx)
	}
}

// Settled gives the outcome that Settle was told for this lease, if it was: the
// work is done and the sandbox gone.
func (sb *Sandbox) Settled() (agent.Outcome, bool) {
	sb.mu.Lock()
	defer sb.mu.Unlock()
	return sb.outcome, sb.settled
}

// ended reports whether the sandbox is over.
func (sb *Sandbox) ended() bool {
	select {
	case <-sb.done:
		return true
	default:
		return false
	}
}

// nudge has the loop look again at what is due.
func (sb *Sandbox) nudge() {
	select {
	case sb.changed <- struct{}{}:
	default:
	}
}

// save writes the record. That it cannot is not the program's fault and ends
// nothing: a restarted worker then knows an older state.
func (sb *Sandbox) save() {
	if err := writeJSON(sb.folder.record(), &sb.rec); err != nil {
		sb.log().Error("the sandbox's record was not written", "error", err)
	}
}

func (sb *Sandbox) log() *slog.Logger {
	return sb.d.cfg.Logger.With("task", sb.rec.Task.String(), "lease", string(sb.lease))
}

// openGateway serves the socket.
func (sb *Sandbox) openGateway() error {
	inputs := map[string]string{}
	for _, name := range sb.rec.Inputs {
		inputs[name] = filepath.Join(sb.folder.input(), name)
	}
	params, err := readSmall(sb.folder.program(), filepath.Base(initproto.ParamsFile), maxParams)
	if err != nil {
		return err
	}
	gateway, err := sb.d.cfg.Gateways.Open(sb.d.ctx, Session{
		Lease: sb.lease, Task: sb.rec.Task, Attempt: sb.rec.Attempt, Dir: sb.d.folders.run(sb.lease),
		Init: sb.rec.Init, Params: params, Inputs: inputs, Events: initEvents{sb},
	})
	if err != nil {
		return err
	}
	sb.mu.Lock()
	sb.gateway = gateway
	sb.mu.Unlock()
	return nil
}

// closeGateway ends the service of the socket.
func (sb *Sandbox) closeGateway() {
	sb.mu.Lock()
	gateway := sb.gateway
	sb.gateway = nil
	sb.mu.Unlock()
	if gateway == nil {
		return
	}
	if err := gateway.Close(); err != nil {
		sb.log().Warn("a gateway ended badly", "error", err)
	}
}

// hold keeps the container's process and its accounts. Whoever waits for them
// need not wait for the rest of the verification.
func (sb *Sandbox) hold(proc *process) {
	group, err := proc.cgroup(sb.rec.Loop)
	if err != nil {
		sb.log().Warn("usage cannot be read", "error", err)
	}
	sb.mu.Lock()
	sb.proc, sb.group = proc, group
	sb.mu.Unlock()
	sb.account()
	if group != nil {
		go sb.noteKills(group)
	}
}

// account reads the accounts while the container has some.
func (sb *Sandbox) account() {
	sb.mu.Lock()
	defer sb.mu.Unlock()
	if sb.group != nil {
		sb.rec.Used = sb.group.read(sb.rec.Used)
	}
}

// initEvents is what init says of a sandbox, as claims.
type initEvents struct{ sb *Sandbox }

// Started implements Events. The time is that of the host, because a program
// that could choose it could put off its timeout.
func (e initEvents) Started(initproto.Started) { e.sb.noteStarted(e.sb.d.cfg.Now()) }

func (sb *Sandbox) noteStarted(at time.Time) {
	sb.mu.Lock()
	defer sb.mu.Unlock()
	if sb.ended() || !sb.rec.started(at) {
		return
	}
	sb.save()
	close(sb.started)
	sb.nudge()
}

// Alive implements Events.
func (e initEvents) Alive(initproto.Alive) initproto.AliveReply {
	e.sb.mu.Lock()
	defer e.sb.mu.Unlock()
	return initproto.AliveReply{Stop: e.sb.rec.Stop != nil}
}

// Exited implements Events. Init lives until this returns, and with it the
// accounts.
func (e initEvents) Exited(initproto.Exit) {
	if e.sb.awaitIdentified(e.sb.d.ctx) {
		e.sb.account()
	}
}

// identifyPatience is how long others wait for the container's process to be
// found, which takes the engine some milliseconds after the start.
const identifyPatience = time.Second

// awaitIdentified waits until the container's process and accounts are found,
// and reports whether they are.
func (sb *Sandbox) awaitIdentified(ctx context.Context) bool {
	patience := time.NewTimer(identifyPatience)
	defer patience.Stop()
	select {
	case <-sb.identified:
		return true
	case <-patience.C:
	case <-ctx.Done():
	}
	return false
}

// release lets go of what the worker holds of a sandbox; the sandbox itself
// is not touched.
func (sb *Sandbox) release() {
	sb.closeGateway()
	sb.mu.Lock()
	defer sb.mu.Unlock()
	if sb.proc != nil {
		sb.proc.close()
		sb.proc = nil
	}
}

// gone says that there is nothing of this lease here.
func gone(l agent.LeaseID) error {
	return &agent.Error{Kind: agent.ErrNotFound, Message: "this node has no sandbox for lease " + string(l), Err: fs.ErrNotExist}
}
