package boot

import (
	"symbi.dev/symbi/internal/identity"
	"symbi.dev/symbi/workflows/api"
)

// commandSigner signs the commands that travel in signals.
type commandSigner struct{ keys *identity.SignalSigner }

// Sign gives the command with its signature.
func (s commandSigner) Sign(workflowID, signal string, c api.Command) api.Command {
	c.Signature = s.keys.Sign(covered(workflowID, signal, c))
	return c
}

// Verify reports whether a command's signature is ours.
func (s commandSigner) Verify(workflowID, signal string, c api.Command) bool {
	return s.keys.Verify(covered(workflowID, signal, c), c.Signature)
}

func covered(workflowID, signal string, c api.Command) identity.Command {
	return identity.Command{
		WorkflowID: workflowID, Signal: signal, Principal: string(c.Principal),
		Request: c.Request, Reason: c.Reason, At: c.At,
	}
}
