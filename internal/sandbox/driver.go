package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"symbi.dev/symbi/agent"
)

// Config is what a Driver is made of.
type Config struct {
	DataDir      string // absolute; short, because sockets lie below it
	Installation string // labels every container
	Node         agent.NodeID
	InitBinary   string // the static symbi-init; copied into the data folder
	Runtimes     map[agent.Tier]string
	Images       map[agent.Language]string // that scripts run in
	LeaseTTL     time.Duration             // silence after which a program is ended
	EngineHost   string                    // DefaultEngineHost if empty
	Gateways     Gateways
	Logger       *slog.Logger
	Now          func() time.Time
}

// DefaultRuntimes are the engine's runtimes as deploy/setup.sh names them.
func DefaultRuntimes() map[agent.Tier]string {
	return map[agent.Tier]string{agent.TierDocker: "runc", agent.TierGVisor: "symbi-runsc"}
}

// DefaultImages are the images that deploy/setup.sh builds.
func DefaultImages() map[agent.Language]string {
	return map[agent.Language]string{agent.Python: "symbi/python:1", agent.Shell: "symbi/base:1"}
}

// installationPattern keeps installations fit for container names.
var installationPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

func (c *Config) check() error {
	switch {
	case !filepath.IsAbs(c.DataDir):
		return agent.Errorf(agent.ErrInvalid, "the data folder %q is not an absolute path", c.DataDir)
	case !installationPattern.MatchString(c.Installation):
		return agent.Errorf(agent.ErrInvalid, "%q cannot name an installation: use a-z, 0-9 and '-'", c.Installation)
	case c.LeaseTTL <= 0:
		return agent.Errorf(agent.ErrInvalid, "a lease must live for some time")
	case c.Gateways == nil || c.Logger == nil || c.Now == nil || len(c.Runtimes) == 0:
		return errors.New("sandbox: the configuration is incomplete")
	}
	return c.checkFiles()
}

func (c *Config) checkFiles() error {
	if _, err := os.Stat(c.InitBinary); err != nil {
		return agent.Errorf(agent.ErrInvalid, "find symbi-init, which runs in every sandbox: %w", err)
	}
	return nil
}

// Driver runs the sandboxes of one node.
type Driver struct {
	cfg      Config
	engine   engine
	folders  folders
	host     host
	loop     loopFS
	images   imageCache
	watch    *watch
	health   health
	away     time.Duration // how long no worker had been there when Open looked
	starting singleflight.Group

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	boxes map[agent.LeaseID]*Sandbox
}

// Open makes a driver. It succeeds without an engine: Check says what is
// missing, and Start fails with what to do. Only one process may have a data
// folder's driver at a time; its caller sees to that.
func Open(ctx context.Context, cfg Config) (*Driver, error) {
	if cfg.EngineHost == "" {
		cfg.EngineHost = DefaultEngineHost
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	engine, err := dial(cfg.EngineHost)
	if err != nil {
		return nil, err
	}
	return open(ctx, cfg, engine)
}

// open is Open with an engine.
func open(ctx context.Context, cfg Config, engine engine) (*Driver, error) {
	d := &Driver{cfg: cfg, engine: engine, folders: folders{cfg.DataDir}, boxes: map[agent.LeaseID]*Sandbox{}, watch: newWatch()}
	if err := d.folders.make(); err != nil {
		return nil, err
	}
	if err := d.folders.install(cfg.InitBinary); err != nil {
		return nil, err
	}
	d.loop.templates = d.folders.templates()
	away, err := d.folders.sinceAlive()
	if err != nil {
		return nil, err
	}
	d.away = away
	d.ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
	d.examineHost(ctx)
	d.wg.Go(func() { d.watch.run(d.ctx) })
	d.wg.Go(d.stayAlive)
	return d, nil
}

// Close lets go of everything and leaves sandboxes running, for the next
// driver of this data folder to adopt.
func (d *Driver) Close() error {
	d.mu.Lock()
	d.cancel()
	d.mu.Unlock() // nothing is begun any more
	d.wg.Wait()
	d.mu.Lock()
	boxes := d.boxes
	d.boxes = map[agent.LeaseID]*Sandbox{}
	d.mu.Unlock()
	for _, sb := range boxes {
		sb.release()
	}
	return d.engine.Close()
}

// Sandbox gives the sandbox of a lease, if this driver has it.
func (d *Driver) Sandbox(lease agent.LeaseID) (*Sandbox, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	sb, ok := d.boxes[lease]
	return sb, ok
}

// closing reports whether Close was called.
func (d *Driver) closing() bool { return d.ctx.Err() != nil }

func (d *Driver) add(sb *Sandbox) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.boxes[sb.lease] = sb
}

func (d *Driver) drop(sb *Sandbox) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.boxes[sb.lease] == sb {
		delete(d.boxes, sb.lease)
	}
}

// install copies what sandboxes mount. A sandbox that runs keeps what it has:
// files are replaced, never written.
func (f folders) install(initBinary string) error {
	target := filepath.Join(f.bin(), "symbi-init")
	if err := replaceFile(initBinary, target, 0o755); err != nil {
		return fmt.Errorf("install symbi-init: %w", err)
	}
	alias := filepath.Join(f.bin(), "symbi-agent")
	if err := errors.Join(removeIfThere(alias+".new"), os.Link(target, alias+".new"), os.Rename(alias+".new", alias)); err != nil {
		return fmt.Errorf("install symbi-agent: %w", err)
	}
	// Renaming a link onto another name of the same file leaves both.
	if err := removeIfThere(alias + ".new"); err != nil {
		return fmt.Errorf("install symbi-agent: %w", err)
	}
	if err := replaceWith(bytes.NewReader(pythonModule), filepath.Join(f.lib(), pythonModuleName), 0o644); err != nil {
		return fmt.Errorf("install the Python module: %w", err)
	}
	return nil
}

// replaceFile copies a file over another one, whole or not at all.
func replaceFile(from, to string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return replaceWith(in, to, mode)
}

// replaceWith puts content in the place of a file, whole or not at all.
func replaceWith(from io.Reader, to string, mode os.FileMode) error {
	if err := removeIfThere(to + ".new"); err != nil {
		return err
	}
	if err := writeFile(to+".new", from, mode); err != nil {
		return err
	}
	return os.Rename(to+".new", to)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
