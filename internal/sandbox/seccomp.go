package sandbox

import (
	"bytes"
	_ "embed" // the profile
	"encoding/json"
)

// seccompText is the profile of the docker tier's system calls: what ordinary
// programs need, and nothing else. What it leaves out of the engine's default
// profile: io_uring, sockets of other families than Unix and IP (AF_VSOCK,
// AF_NETLINK and AF_PACKET among them), ptrace and its kin, keys, message
// queues, NUMA policy, the clock, new namespaces by any call, and 32-bit calls.
// gVisor answers calls itself and ignores the profile.
//
//go:embed seccomp.json
var seccompText []byte

// seccompProfile is what the engine is given: the text without its spaces.
var seccompProfile = compact(seccompText)

func compact(text []byte) string {
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		panic("sandbox: seccomp.json: " + err.Error()) // a test reads it
	}
	return b.String()
}
