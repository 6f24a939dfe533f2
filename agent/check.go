package agent

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// checker gathers what is wrong with a manifest.
type checker struct {
	errs  []FieldError
	given func(path string) bool // whether the source says something there
}

func (c *checker) bad(path, format string, args ...any) {
	c.errs = append(c.errs, FieldError{Path: path, Message: fmt.Sprintf(format, args...)})
}

// oneOf refuses a word that is none of those allowed. What was left out is
// for the defaults to fill in.
func oneOf[T ~string](c *checker, path string, v T, allowed []T) {
	if v == "" && !c.given(path) || slices.Contains(allowed, v) {
		return
	}
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	c.bad(path, "%q is not one of %s", v, strings.Join(words, ", "))
}

// between refuses a number outside its bounds.
func between[T int | int64 | float64](c *checker, path string, v, low, high T, unit string) {
	if v == 0 && !c.given(path) {
		return
	}
	if v < low || v > high {
		c.bad(path, "%v is out of bounds: use %v to %v%s", v, low, high, unit)
	}
}

func (c *checker) duration(path string, v Duration, low, high time.Duration) {
	if v == 0 && !c.given(path) {
		return
	}
	if v.Std() < low || v.Std() > high {
		c.bad(path, "%s is out of bounds: use %s to %s", v, low, high)
	}
}

func (c *checker) name(path, v string) {
	if err := CheckName(v); err != nil {
		c.bad(path, "%v", err)
	}
}

// check lists everything that is wrong with the values of a manifest.
func (m *Manifest) check(given func(string) bool) []FieldError {
	c := &checker{given: given}
	if m.APIVersion != APIVersion {
		c.bad("apiVersion", "must be %s", APIVersion)
	}
	if m.Kind != Kind {
		c.bad("kind", "must be %s", Kind)
	}
	c.name("name", string(m.Name))
	if m.Namespace != "" || given("namespace") {
		c.name("namespace", string(m.Namespace))
	}
	m.checkLabels(c)
	m.Program.check(c)
	m.checkParams(c)
	m.checkInputs(c)
	m.checkSource(c)
	m.checkReach(c)
	m.checkResources(c)
	m.checkTasks(c)
	return c.errs
}

func (m *Manifest) checkLabels(c *checker) {
	if len(m.Labels) > maxLabels {
		c.bad("labels", "there are %d; at most %d are kept", len(m.Labels), maxLabels)
	}
	for k, v := range m.Labels {
		if k == "" || len(k) > maxLabelLength || len(v) > maxLabelLength {
			c.bad("labels."+clip(k), "keys and values have 1 to %d bytes", maxLabelLength)
		}
	}
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

var (
	envName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	imageName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._/:@-]{0,510}$`)
)

func (p *Program) check(c *checker) {
	switch {
	case p.Script == nil && p.Container == nil:
		c.bad("program", "says nothing to run: give it one of script, container")
	case p.Script != nil && p.Container != nil:
		c.bad("program", "has both script and container; keep one")
	case p.Script != nil:
		p.Script.check(c)
	default:
		p.Container.check(c)
	}
	if len(p.Env) > maxEnv {
		c.bad("program.env", "has %d variables; at most %d are set", len(p.Env), maxEnv)
	}
	for name := range p.Env {
		at := "program.env." + clip(name)
		switch {
		case !envName.MatchString(name):
			c.bad(at, "is not a variable's name: use letters, digits and _")
		case strings.HasPrefix(name, "SYMBI_"):
			c.bad(at, "names beginning with SYMBI_ are the runtime's own")
		case strings.ContainsRune(p.Env[name], 0):
			c.bad(at, "holds a NUL byte")
		}
	}
	c.duration("program.stop_grace", p.StopGrace, time.Millisecond, maxStopGrace)
}

func (s *Script) check(c *checker) {
	oneOf(c, "program.script.language", s.Language, []Language{Python, Shell})
	if s.Language == "" && !c.given("program.script.language") {
		c.bad("program.script.language", "is missing: python or shell")
	}
	switch {
	case s.Code == "" && s.File == "":
		c.bad("program.script", "has neither file nor code; give it one")
	case s.Code != "" && s.File != "":
		c.bad("program.script", "has both file and code; keep one")
	case s.File != "" && (path.IsAbs(s.File) || path.Clean(s.File) != s.File || s.File == ".." || strings.HasPrefix(s.File, "../")):
		c.bad("program.script.file", "%q must be a clean path below the manifest's folder", clip(s.File))
	}
	if s.Digest != "" && !s.Digest.Valid() {
		c.bad("program.script.digest", "%q is not a digest: write sha256: and 64 hexadecimal digits", clip(string(s.Digest)))
	}
	if s.Digest != "" && s.Code != "" {
		c.bad("program.script.digest", "belongs to file, not to code")
	}
	checkArgs(c, "program.script.args", s.Args)
}

func (k *Container) check(c *checker) {
	if !imageName.MatchString(k.Image) {
		c.bad("program.container.image", "%q does not name an image", clip(k.Image))
	}
	oneOf(c, "program.container.pull", k.Pull, []Pull{PullNever, PullMissing, PullAlways})
	checkArgs(c, "program.container.command", k.Command)
	checkArgs(c, "program.container.args", k.Args)
}

func checkArgs(c *checker, at string, args []string) {
	if len(args) > maxArgs {
		c.bad(at, "has %d words; at most %d are passed", len(args), maxArgs)
	}
	for i, a := range args {
		if strings.ContainsRune(a, 0) {
			c.bad(fmt.Sprintf("%s[%d]", at, i), "holds a NUL byte")
		}
	}
}

func (m *Manifest) checkInputs(c *checker) {
	if len(m.Inputs) > maxInputs {
		c.bad("inputs", "there are %d; at most %d can be declared", len(m.Inputs), maxInputs)
	}
	for name, in := range m.Inputs {
		at := "inputs." + clip(name)
		if err := CheckName(name); err != nil {
			c.bad(at, "%v", err)
		}
		oneOf(c, at+".sensitivity", in.Sensitivity, Sensitivities)
		between(c, at+".max_mb", in.MaxMB, 1, maxInputMB, " (MiB)")
	}
}

func (m *Manifest) checkSource(c *checker) {
	oneOf(c, "source.trust", m.Source.Trust, []Trust{Untrusted, Verified, Trusted})
	if m.Source.Digest != "" && !m.Source.Digest.Valid() {
		c.bad("source.digest", "%q is not a digest: write sha256: and 64 hexadecimal digits", clip(string(m.Source.Digest)))
	}
	if m.Source.Trust == Verified && m.Source.Digest == "" {
		c.bad("source.digest", "is missing: trust verified needs the digest of what runs")
	}
	oneOf(c, "sandbox.min_tier", m.Sandbox.MinTier, []Tier{TierDocker, TierGVisor})
}

// hostPort is a destination: a name or an address, and perhaps a port.
var hostPort = regexp.MustCompile(`^[A-Za-z0-9*][A-Za-z0-9.*_-]{0,252}(:[0-9]{1,5})?$`)

func (m *Manifest) checkReach(c *checker) {
	for i, to := range m.Network.Allow {
		if !hostPort.MatchString(to) {
			c.bad(fmt.Sprintf("network.allow[%d]", i), "%q is not a host or host:port", clip(to))
		}
	}
	between(c, "network.connections", m.Network.Connections, 0, 10_000, "")
	for i, s := range m.Secrets {
		if err := CheckName(s); err != nil {
			c.bad(fmt.Sprintf("secrets[%d]", i), "%v", err)
		}
	}
	for i, a := range m.ExternalAPIs {
		if a == "" || len(a) > maxLabelLength {
			c.bad(fmt.Sprintf("external_apis[%d]", i), "has 1 to %d bytes", maxLabelLength)
		}
	}
}

func (m *Manifest) checkResources(c *checker) {
	r := m.Resources
	between(c, "resources.memory_mb", r.MemoryMB, minMemoryMB, maxMemoryMB, " (MiB)")
	between(c, "resources.cpu_cores", r.CPUCores, minCPUCores, maxCPUCores, "")
	between(c, "resources.disk_io_mbps", r.DiskIOMBps, 1, maxIOMBps, "")
	between(c, "resources.network_io_mbps", r.NetworkIOMBps, 0, maxIOMBps, "")
	c.duration("resources.execution_timeout", r.ExecutionTimeout, minTimeout, maxTimeout)
	between(c, "filesystem.scratch_mb", m.Filesystem.ScratchMB, 1, maxScratchMB, " (MiB)")
}

func (m *Manifest) checkTasks(c *checker) {
	oneOf(c, "scheduling.priority", m.Scheduling.Priority, Priorities)
	oneOf(c, "scheduling.class", m.Scheduling.Class, Classes)
	between(c, "tasks.max_concurrent", m.Tasks.MaxConcurrent, 1, maxTasks, "")
	between(c, "tasks.retry.max_attempts", m.Tasks.Retry.MaxAttempts, 1, maxAttempts, "")
	c.duration("tasks.retry.backoff", m.Tasks.Retry.Backoff, time.Millisecond, maxBackoff)
	for i, class := range m.Tasks.Retry.On {
		oneOf(c, fmt.Sprintf("tasks.retry.on[%d]", i), class, FailureClasses)
	}
}
