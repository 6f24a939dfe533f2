package main

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

// The kernels that init tells apart, as Started and Exit name them.
const (
	kernelGVisor = "gvisor"
	kernelLinux  = "linux"
)

// signs are what a kernel shows of itself.
type signs struct {
	release   string // uname -r
	log       string // the beginning of the kernel's log, if one may read it
	procEntry bool   // /proc/gvisor is there
}

// verdict takes a kernel for gVisor when at least two of three signs say so:
// one may go in a new release, and none alone is proof.
func (s signs) verdict() string {
	n := 0
	if strings.HasSuffix(s.release, "-gvisor") {
		n++
	}
	if first, _, _ := strings.Cut(s.log, "\n"); strings.HasSuffix(first, "Starting gVisor...") {
		n++
	}
	if s.procEntry {
		n++
	}
	if n >= 2 {
		return kernelGVisor
	}
	return kernelLinux
}

// syslogReadAll is SYSLOG_ACTION_READ_ALL of syslog(2).
const syslogReadAll = 3

// readSigns looks at the kernel that this process runs on.
func readSigns() signs {
	var s signs
	var u syscall.Utsname
	if syscall.Uname(&u) == nil {
		release := make([]byte, 0, len(u.Release))
		for _, c := range u.Release {
			release = append(release, byte(c))
		}
		release, _, _ = bytes.Cut(release, []byte{0})
		s.release = string(release)
	}
	var log [128]byte
	n, _, errno := syscall.Syscall(syscall.SYS_SYSLOG, syslogReadAll, uintptr(unsafe.Pointer(&log[0])), uintptr(len(log)))
	if errno == 0 {
		s.log = string(log[:min(int(n), len(log))])
	}
	_, err := os.Stat("/proc/gvisor")
	s.procEntry = err == nil
	return s
}
