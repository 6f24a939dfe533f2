package activities

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"symbi.dev/symbi/agent"
)

// risk weighs what a manifest says together with the inputs of one task.
func (s *Steps) risk(m *agent.Manifest, inputs []agent.InputRef) agent.RiskAssessment {
	trust, note := agent.CheckTrust(m.Source, runs(m), s.TrustedDigests)
	return agent.AssessRisk(agent.RiskInput{
		Sensitivity: highest(inputs), Trust: trust, TrustNote: note, Network: m.Network,
		ScratchMB: m.Filesystem.ScratchMB, Integrations: len(m.ExternalAPIs),
		Unstated: m.Unstated, MinTier: m.Sandbox.MinTier, DefaultTier: s.DefaultTier,
	})
}

// declaredInputs stands for the inputs of a task that is not there yet.
func declaredInputs(m *agent.Manifest) []agent.InputRef {
	var refs []agent.InputRef
	for name, in := range m.Inputs {
		refs = append(refs, agent.InputRef{Name: name, Sensitivity: in.Sensitivity})
	}
	return refs
}

// highest is the highest sensitivity of the inputs; public where there are none.
func highest(inputs []agent.InputRef) agent.Sensitivity {
	top := agent.Public
	for _, in := range inputs {
		if slices.Index(agent.Sensitivities, in.Sensitivity) > slices.Index(agent.Sensitivities, top) {
			top = in.Sensitivity
		}
	}
	return top
}

// runs is the digest of what a manifest's program runs: the script's text. An
// image counts when it is named by its digest, which its tag is not.
func runs(m *agent.Manifest) agent.Digest {
	switch {
	case m.Program.Script != nil && m.Program.Script.Code != "":
		sum := sha256.Sum256([]byte(m.Program.Script.Code))
		return agent.Digest("sha256:" + hex.EncodeToString(sum[:]))
	case m.Program.Script != nil:
		return m.Program.Script.Digest
	case m.Program.Container != nil:
		return imageDigest(m.Program.Container.Image)
	}
	return ""
}

// imageDigest gives the digest in a reference like name@sha256:….
func imageDigest(image string) agent.Digest {
	const size = len("sha256:") + 64
	if len(image) <= size || image[len(image)-size-1] != '@' {
		return ""
	}
	d := agent.Digest(image[len(image)-size:])
	if !d.Valid() {
		return ""
	}
	return d
}
