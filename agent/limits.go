package agent

import "time"

// Bounds of a manifest. What lies outside is a mistake rather than a wish.
const (
	// MaxManifestBytes leaves room for an inline script; larger ones are blobs.
	MaxManifestBytes = 256 << 10
	maxDepth         = 32     // of nesting; the deepest manifest needs eight
	maxNodes         = 20_000 // of YAML; 256 KiB of short lines have fewer
	maxLabels        = 64
	maxLabelLength   = 256
	maxParams        = 256
	maxInputs        = 256
	maxArgs          = 1024
	maxEnv           = 256

	minMemoryMB  = 16        // below it not even an interpreter starts
	maxMemoryMB  = 1 << 20   // 1 TiB
	minCPUCores  = 0.01      // what the kernel can meter
	maxCPUCores  = 1024      //
	maxScratchMB = 1 << 20   // 1 TiB
	maxIOMBps    = 1_000_000 // beyond any device
	maxInputMB   = 1 << 10   // what one upload may have
	maxTasks     = 10_000    // at once, of one agent
	maxAttempts  = 100

	minTimeout   = time.Second
	maxTimeout   = 30 * 24 * time.Hour
	maxStopGrace = time.Minute
	maxBackoff   = time.Hour
)

// What holds where a manifest does not say: the cautious value.
const (
	defaultMemoryMB      = 256 // enough for an interpreter and some data
	defaultCPUCores      = 0.5
	defaultDiskIOMBps    = 50
	defaultScratchMB     = 64
	defaultInputMB       = 10
	defaultTimeout       = 10 * time.Minute
	defaultStopGrace     = 5 * time.Second // what most programs need to tidy up
	defaultBackoff       = 5 * time.Second
	defaultMaxAttempts   = 1 // an effect outside may not be safe to repeat
	defaultMaxConcurrent = 1
)

// withDefaults fills in what was left out.
func (m *Manifest) withDefaults() {
	set(&m.Namespace, DefaultNamespace)
	set(&m.Program.StopGrace, Duration(defaultStopGrace))
	if c := m.Program.Container; c != nil {
		set(&c.Pull, PullMissing)
	}
	for name, in := range m.Inputs {
		set(&in.Sensitivity, Restricted)
		set(&in.MaxMB, defaultInputMB)
		m.Inputs[name] = in
	}
	set(&m.Source.Trust, Untrusted)
	set(&m.Filesystem.ScratchMB, defaultScratchMB)
	set(&m.Resources.MemoryMB, defaultMemoryMB)
	set(&m.Resources.CPUCores, defaultCPUCores)
	set(&m.Resources.DiskIOMBps, defaultDiskIOMBps)
	set(&m.Resources.ExecutionTimeout, Duration(defaultTimeout))
	set(&m.Scheduling.Priority, Normal)
	set(&m.Scheduling.Class, Batch)
	set(&m.Tasks.MaxConcurrent, defaultMaxConcurrent)
	set(&m.Tasks.Retry.MaxAttempts, defaultMaxAttempts)
	set(&m.Tasks.Retry.Backoff, Duration(defaultBackoff))
	if m.Tasks.Retry.On == nil {
		m.Tasks.Retry.On = []FailureClass{FailSandbox, FailDependency}
	}
	// Empty lists say what nothing says; equal manifests are to look alike.
	for _, list := range []*[]string{&m.Network.Allow, &m.ExternalAPIs, &m.Secrets, &m.Policy} {
		if len(*list) == 0 {
			*list = nil
		}
	}
}

// set gives a value where there is none.
func set[T comparable](field *T, value T) {
	var none T
	if *field == none {
		*field = value
	}
}
