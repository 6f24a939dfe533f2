package agent

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write generated pages anew")

// worked are examples that the published page shows.
var worked = []struct {
	name string
	in   RiskInput
	tier Tier
}{
	{"trusted code on public data", RiskInput{Trust: Trusted, Sensitivity: Public}, TierDocker},
	{"trusted code on internal data", RiskInput{Trust: Trusted, Sensitivity: Internal, ScratchMB: 64}, TierDocker},
	{"trusted code on restricted data", RiskInput{Trust: Trusted, Sensitivity: Restricted, ScratchMB: 64}, TierDocker},
	{"trusted code on restricted data with network", RiskInput{Trust: Trusted, Sensitivity: Restricted, ScratchMB: 64, Network: Network{Connections: 1}}, TierDocker},
	{"trusted code with everything", RiskInput{Trust: Trusted, Sensitivity: Restricted, ScratchMB: 4096, Network: Network{Connections: 1}, Integrations: 1}, TierGVisor},
	{"verified code on public data", RiskInput{Trust: Verified, Sensitivity: Public, ScratchMB: 64}, TierDocker},
	{"verified code on internal data", RiskInput{Trust: Verified, Sensitivity: Internal, ScratchMB: 64}, TierDocker},
	{"verified code on confidential data", RiskInput{Trust: Verified, Sensitivity: Confidential, ScratchMB: 64}, TierDocker},
	{"verified code on confidential data with network", RiskInput{Trust: Verified, Sensitivity: Confidential, ScratchMB: 64, Network: Network{Allow: []string{"example.com"}}}, TierGVisor},
	{"verified code with network and an integration", RiskInput{Trust: Verified, Sensitivity: Internal, ScratchMB: 64, Network: Network{Connections: 4}, Integrations: 1}, TierGVisor},
	{"untrusted code on public data", RiskInput{Trust: Untrusted, Sensitivity: Public}, TierGVisor},
	{"untrusted code on restricted data", RiskInput{Trust: Untrusted, Sensitivity: Restricted, ScratchMB: 64}, TierGVisor},
	{"untrusted code with everything", RiskInput{Trust: Untrusted, Sensitivity: Restricted, ScratchMB: 4096, Network: Network{Connections: 1}, Integrations: 3}, TierGVisor},
	{"trusted code that does not state its network", RiskInput{Trust: Trusted, Sensitivity: Public, Unstated: []RiskFactor{FactorNetwork}, DefaultTier: TierGVisor}, TierGVisor},
	{"the same where the operator's default is docker", RiskInput{Trust: Trusted, Sensitivity: Public, Unstated: []RiskFactor{FactorNetwork}, DefaultTier: TierDocker}, TierDocker},
	{"trusted code that asks for gVisor", RiskInput{Trust: Trusted, Sensitivity: Public, MinTier: TierGVisor}, TierGVisor},
	{"untrusted code that asks for docker", RiskInput{Trust: Untrusted, Sensitivity: Public, MinTier: TierDocker}, TierGVisor},
}

func TestWorkedExamplesOfRisk(t *testing.T) {
	t.Parallel()
	for _, w := range worked {
		got := AssessRisk(w.in)
		if got.Tier != w.tier {
			t.Errorf("%s: score %v gives %s, want %s", w.name, got.Score, got.Tier, w.tier)
		}
		var sum float64
		for _, f := range got.Factors {
			sum += f.Contribution
		}
		if len(got.Factors) != 5 || min(round(sum), 1) != got.Score {
			t.Errorf("%s: %d factors add up to %v, the score is %v", w.name, len(got.Factors), sum, got.Score)
		}
	}
}

func TestRiskPageIsCurrent(t *testing.T) {
	t.Parallel()
	const path = "../docs/risk.md"
	want := riskPage()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not current; write it anew with: go test ./agent -run TestRiskPage -update", path)
	}
}

// riskPage is the published page.
func riskPage() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# How the sandbox tier is chosen

Every attempt of a task gets a score from 0 to 1. Below %.1f it runs in tier 1 (Docker: the host's kernel,
confined), otherwise in tier 2 (gVisor: a kernel of its own in user space). The score is the sum of five
factors, each its weight times a level:

| factor | weight | levels |
|---|---|---|
| code trust, as checked | %.2f | trusted 0, verified 0.4, untrusted 1 |
| data sensitivity, the highest of the inputs | %.2f | public 0, internal 0.3, confidential 0.7, restricted 1 |
| network access | %.2f | none 0, any 1 |
| external integrations | %.2f | none 0, any 1 |
| filesystem | %.2f | no scratch space 0, up to %d MiB 0.5, more 1 |

Untrusted code alone reaches the threshold: it never runs on the host's kernel.

Trust is a claim. "verified" counts only if `+"`source.digest`"+` is the digest of what runs, "trusted" only for digests
that the operator named; anything else is scored as untrusted, and the task says so. What a manifest does not
state takes the cautious value, and then the tier is at least the operator's `+"`default_sandbox_tier`"+`. Manifest,
policy and language can raise the tier; nothing lowers it.

## Worked examples

| example | score | tier | because |
|---|---|---|---|
`, RiskThreshold, weightTrust, weightSensitivity, weightNetwork, weightIntegrations, weightFilesystem, largeScratchMB)
	for _, w := range worked {
		a := AssessRisk(w.in)
		fmt.Fprintf(&b, "| %s | %.3f | %s | %s |\n", w.name, a.Score, a.Tier, a.Why)
	}
	b.WriteString("\nThis page is made from the code that decides; a test keeps it current.\n")
	return b.String()
}

func TestTrustIsNeverTakenAtItsWord(t *testing.T) {
	t.Parallel()
	const runs, other = Digest("sha256:aa"), Digest("sha256:bb")
	for _, c := range []struct {
		name    string
		claim   Source
		trusted []Digest
		want    Trust
	}{
		{"no claim", Source{}, nil, Untrusted},
		{"verified, and it is", Source{Trust: Verified, Digest: runs}, nil, Verified},
		{"verified by the digest of something else", Source{Trust: Verified, Digest: other}, nil, Untrusted},
		{"trusted by nobody", Source{Trust: Trusted, Digest: runs}, nil, Untrusted},
		{"trusted by the operator", Source{Trust: Trusted}, []Digest{other, runs}, Trusted},
		{"trusted for something else", Source{Trust: Trusted, Digest: other}, []Digest{other}, Untrusted},
	} {
		got, note := CheckTrust(c.claim, runs, c.trusted)
		if got != c.want || (got == Untrusted && c.claim.Trust != "" && !strings.Contains(note, "untrusted")) {
			t.Errorf("%s: got %s (%q), want %s", c.name, got, note, c.want)
		}
	}
}
