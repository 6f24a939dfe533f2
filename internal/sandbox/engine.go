package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"symbi.dev/symbi/agent"
)

// engine is what the driver asks of a container engine; the methods are the
// Docker client's. Tests put one that fails in its place.
type engine interface {
	Info(ctx context.Context) (system.Info, error)
	ImageInspect(ctx context.Context, ref string, opts ...client.ImageInspectOption) (image.InspectResponse, error)
	ImagePull(ctx context.Context, ref string, opts image.PullOptions) (io.ReadCloser, error)
	ContainerCreate(ctx context.Context, config *container.Config, host *container.HostConfig,
		net *network.NetworkingConfig, platform *ocispec.Platform, name string) (container.CreateResponse, error)
	ContainerStart(ctx context.Context, id string, opts container.StartOptions) error
	ContainerInspect(ctx context.Context, id string) (container.InspectResponse, error)
	ContainerList(ctx context.Context, opts container.ListOptions) ([]container.Summary, error)
	ContainerWait(ctx context.Context, id string, until container.WaitCondition) (<-chan container.WaitResponse, <-chan error)
	ContainerPause(ctx context.Context, id string) error
	ContainerUnpause(ctx context.Context, id string) error
	ContainerKill(ctx context.Context, id, signal string) error
	ContainerRemove(ctx context.Context, id string, opts container.RemoveOptions) error
	Close() error
}

// DefaultEngineHost is where Docker listens by default.
const DefaultEngineHost = "unix:///var/run/docker.sock"

// engineTimeout bounds one call to the engine. A busy one takes seconds to
// start a container; one that takes longer than this hangs.
const engineTimeout = time.Minute

// dial makes a client; it connects when it is first used.
func dial(host string) (engine, error) {
	c, err := client.NewClientWithOpts(client.WithHost(host), client.WithAPIVersionNegotiation())
	if err != nil {
		return nil, agent.Errorf(agent.ErrInvalid, "use the container engine at %s: %w", host, err)
	}
	return c, nil
}

// engineCall bounds ctx for one call.
func engineCall(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, engineTimeout)
}

// silent reports whether an error means that no engine answers.
func silent(err error) bool {
	return client.IsErrConnectionFailed(err) || errors.Is(err, context.DeadlineExceeded)
}

// engineFailure says what an error of the engine means to the task, while
// doing what.
func (d *Driver) engineFailure(doing string, tier agent.Tier, err error) *agent.Failure {
	switch {
	case silent(err):
		return &agent.Failure{
			Class: agent.FailDependency, Code: agent.CodeEngineMissing,
			Cause:    fmt.Sprintf("no container engine answers at %s", d.cfg.EngineHost),
			NextStep: "run deploy/setup.sh on node " + string(d.cfg.Node) + ", which starts one; then `symbi task retry`",
		}
	case unknownRuntime(err):
		return &agent.Failure{
			Class: agent.FailDependency, Code: agent.CodeEngineMissing,
			Cause:    fmt.Sprintf("the container engine has no runtime named %s, which the %s tier needs", d.cfg.Runtimes[tier], tier),
			NextStep: "run deploy/setup.sh on node " + string(d.cfg.Node) + ", which adds it; then `symbi task retry`",
		}
	case cerrdefs.IsNotFound(err):
		return &agent.Failure{
			Class: agent.FailDependency, Code: agent.CodeImageMissing,
			Cause:    fmt.Sprintf("%s: %v", doing, err),
			NextStep: "the image went away while the task started; bring it back, then `symbi task retry`",
		}
	}
	return &agent.Failure{
		Class: agent.FailSandbox, Code: agent.CodeSandboxStart,
		Cause:    fmt.Sprintf("%s: %v", doing, err),
		NextStep: "look at the engine's log on node " + string(d.cfg.Node) + "; then `symbi task retry`",
	}
}

// removeOptions remove a container with what it has of its own.
var removeOptions = container.RemoveOptions{Force: true, RemoveVolumes: true}
