package agent

import "fmt"

// RiskFactor is one of the five things that R4.3 weighs.
type RiskFactor string

// The factors.
const (
	FactorSensitivity  RiskFactor = "data_sensitivity"
	FactorTrust        RiskFactor = "code_trust"
	FactorNetwork      RiskFactor = "network_access"
	FactorFilesystem   RiskFactor = "filesystem_access"
	FactorIntegrations RiskFactor = "external_integrations"
)

// Weights of the factors; they add up to 1. Untrusted code weighs as much as
// the threshold alone, so that it never runs on the host's kernel whatever
// else is said of it.
const (
	weightTrust        = 0.50
	weightSensitivity  = 0.20
	weightNetwork      = 0.15
	weightIntegrations = 0.10
	weightFilesystem   = 0.05
)

// RiskThreshold is the score from which a task runs in the stronger tier (R4.3).
const RiskThreshold = 0.5

// RiskInput is what the score is made of. Trust is as checked, not as claimed.
type RiskInput struct {
	Sensitivity  Sensitivity // the highest of the task's inputs
	Trust        Trust
	TrustNote    string
	Network      Network
	ScratchMB    int64
	Integrations int
	Unstated     []RiskFactor // what the manifest does not say
	MinTier      Tier         // the manifest's floor
	DefaultTier  Tier         // the operator's floor where something is unstated
}

// RiskAssessment is the score, each factor's share in it, and the tier that follows.
type RiskAssessment struct {
	Score   float64      `json:"score"` // 0 to 1
	Tier    Tier         `json:"tier"`
	Factors []FactorRisk `json:"factors"`
	Why     string       `json:"why"` // what decided the tier, in words
}

// FactorRisk is one factor's share in a score.
type FactorRisk struct {
	Factor       RiskFactor `json:"factor"`
	Value        string     `json:"value"`
	Weight       float64    `json:"weight"`
	Contribution float64    `json:"contribution"`
	Note         string     `json:"note,omitempty"`
}

// AssessRisk weighs the factors and gives the tier. Floors only raise it.
func AssessRisk(in RiskInput) RiskAssessment {
	var a RiskAssessment
	add := func(f RiskFactor, value string, weight, level float64, note string) {
		share := weight * level
		a.Score += share
		a.Factors = append(a.Factors, FactorRisk{Factor: f, Value: value, Weight: weight, Contribution: share, Note: note})
	}
	add(FactorTrust, string(in.Trust), weightTrust, trustLevel(in.Trust), in.TrustNote)
	add(FactorSensitivity, string(in.Sensitivity), weightSensitivity, sensitivityLevel(in.Sensitivity), "")
	add(FactorNetwork, networkWords(in.Network), weightNetwork, boolLevel(in.Network.wanted()), "")
	add(FactorIntegrations, fmt.Sprintf("%d external APIs", in.Integrations), weightIntegrations, boolLevel(in.Integrations > 0), "")
	add(FactorFilesystem, fmt.Sprintf("%d MB of scratch space", in.ScratchMB), weightFilesystem, filesystemLevel(in.ScratchMB), "")
	a.Score = min(round(a.Score), 1)
	a.Tier, a.Why = TierDocker, fmt.Sprintf("the score is below %.1f", RiskThreshold)
	if a.Score >= RiskThreshold {
		a.Tier, a.Why = TierGVisor, fmt.Sprintf("the score is %.1f or more", RiskThreshold)
	}
	if len(in.Unstated) > 0 && in.DefaultTier.AtLeast(a.Tier) != a.Tier {
		a.Tier, a.Why = in.DefaultTier, fmt.Sprintf("the manifest does not state %s, and default_sandbox_tier is %s", in.Unstated[0], in.DefaultTier)
	}
	if in.MinTier.AtLeast(a.Tier) != a.Tier {
		a.Tier, a.Why = in.MinTier, "the manifest asks for at least "+string(in.MinTier)
	}
	return a
}

// round keeps sums of weights free of binary dust, so that 0.5 is 0.5.
func round(v float64) float64 { return float64(int64(v*10_000+0.5)) / 10_000 }

func trustLevel(t Trust) float64 {
	switch t {
	case Trusted:
		return 0
	case Verified:
		return 0.4
	}
	return 1
}

func sensitivityLevel(s Sensitivity) float64 {
	switch s {
	case Public:
		return 0
	case Internal:
		return 0.3
	case Confidential:
		return 0.7
	}
	return 1
}

// largeScratchMB is more room than working files usually take.
const largeScratchMB = 1024

func filesystemLevel(scratchMB int64) float64 {
	switch {
	case scratchMB <= 0:
		return 0
	case scratchMB <= largeScratchMB:
		return 0.5
	}
	return 1
}

func boolLevel(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (n Network) wanted() bool { return len(n.Allow) > 0 || n.Connections > 0 }

func networkWords(n Network) string {
	if !n.wanted() {
		return "none"
	}
	return fmt.Sprintf("%d destinations, %d connections", len(n.Allow), n.Connections)
}

// CheckTrust gives the trust that a claim has earned: verified counts only if
// the digest is that of what runs, trusted only for a digest that the operator
// named. Anything else is untrusted, and the note says why.
func CheckTrust(claim Source, runs Digest, trusted []Digest) (Trust, string) {
	switch claim.Trust {
	case Verified:
		if runs != "" && claim.Digest == runs {
			return Verified, ""
		}
		return Untrusted, "it claims to be verified, but source.digest is not the digest of what runs; scored as untrusted"
	case Trusted:
		for _, d := range trusted {
			if runs != "" && d == runs {
				return Trusted, ""
			}
		}
		return Untrusted, "it claims to be trusted, but the operator's list does not name what runs; scored as untrusted"
	}
	return Untrusted, ""
}
