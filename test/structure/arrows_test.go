// Package structure holds the rules that the whole tree keeps: who may import
// whom, and what docs/requirements.md may claim.
package structure

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "symbi.dev/symbi"

// rule says what packages below a place may import of this module.
type rule struct {
	place string   // a path prefix within the module
	may   []string // path prefixes within the module; the place itself always
}

// arrows are DESIGN's: the first rule whose place fits a package holds.
var arrows = []rule{
	{"agent/dsl", []string{"agent"}},
	{"agent", nil},
	{"workflows/api", []string{"agent"}},
	{"workflows", []string{"agent", "workflows/api"}},
	{"client", []string{"agent", "workflows/api"}},
	{"policies", []string{"agent"}},
	{"cmd/symbi-init", []string{"internal/sandbox/initproto"}},
	{"cmd", []string{"agent", "client", "internal/boot", "internal/config"}},
	{"internal/boot", []string{""}},
	{"internal/store", []string{"agent"}},
	{"internal/blob", []string{"agent"}},
	{"internal/cluster", []string{"agent"}},
	{"internal/identity", []string{"agent"}},
	{"internal/telemetry", []string{"agent"}},
	{"internal/config", []string{"agent"}},
	{"internal/payload", []string{"agent"}},
	{"internal/tasklog", []string{"agent"}},
	{"internal/sandbox/initproto", nil},
	{"internal/sandbox", append(floor, "internal/tasklog")},
	{"internal/gateway", append(floor, "internal/sandbox/initproto")},
	{"internal/policy", append(floor, "policies")},
	{"internal/temporaldev", floor},
	{"internal", floor},
	{"activities", []string{"agent", "workflows", "internal"}},
	{"worker", []string{"agent", "workflows", "activities", "internal"}},
	{"server", []string{"agent", "workflows/api", "internal"}},
	{"test", []string{""}},
	{"examples", []string{"agent", "client"}},
	{"deploy", []string{"deploy"}},
}

// floor is what every part may stand on.
var floor = []string{"agent", "internal/store", "internal/blob", "internal/cluster", "internal/identity", "internal/telemetry", "internal/config"}

func TestImportsFollowTheArrows(t *testing.T) {
	t.Parallel()
	for _, tags := range []string{"", "dev"} {
		for pkg, imports := range packages(t, tags) {
			r, ok := ruleFor(pkg)
			if !ok {
				t.Errorf("package %s lies where no rule is; add one to arrows", pkg)
				continue
			}
			for _, to := range imports {
				if !allowed(r, pkg, to) {
					t.Errorf("%s imports %s; packages below %s may import %q", pkg, to, r.place, r.may)
				}
			}
		}
	}
}

func ruleFor(pkg string) (rule, bool) {
	for _, r := range arrows {
		if within(pkg, r.place) {
			return r, true
		}
	}
	return rule{}, false
}

func allowed(r rule, pkg, to string) bool {
	if within(to, r.place) && r.place != "internal" || part(pkg) == part(to) {
		return true
	}
	for _, place := range r.may {
		if within(to, place) && (place != "internal" || !within(to, "internal/boot")) {
			return true
		}
	}
	return false
}

// part is the part below internal that a package belongs to, or the package itself.
func part(pkg string) string {
	if segments := strings.Split(pkg, "/"); len(segments) > 2 && segments[0] == "internal" {
		return segments[0] + "/" + segments[1]
	}
	return pkg
}

// within reports whether a path lies at or below a place; "" is everywhere.
func within(path, place string) bool {
	return place == "" || path == place || strings.HasPrefix(path, place+"/")
}

// packages lists the module's packages with what they import of it, paths
// within the module.
func packages(t *testing.T, tags string) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-tags", tags, "-f", "{{.ImportPath}} {{join .Imports \" \"}}", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list the packages: %v", err)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		var ours []string
		for _, path := range fields[1:] {
			if within(path, module) {
				ours = append(ours, strings.TrimPrefix(path, module+"/"))
			}
		}
		all[strings.TrimPrefix(fields[0], module+"/")] = ours
	}
	if len(all) < 5 {
		t.Fatalf("only %d packages found", len(all))
	}
	return all
}
