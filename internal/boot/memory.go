package boot

import (
	"fmt"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

const (
	// ownMemoryMB is the least that is kept back from tasks for this process
	// and the system beside it; ownMemoryShare is the part of the host's memory
	// that is kept back when it is more.
	ownMemoryMB    = 1024
	ownMemoryShare = 10
	// collectAt is how much garbage, in percent of what is in use, is let pile
	// up while there is room: workflows make much of it, and with the usual 100
	// a seventh of the CPU time went into collecting it.
	collectAt = 400
)

// ownMemory is how many MiB of a host's are kept back from tasks.
func ownMemory(total int64) int64 { return max(ownMemoryMB, total/ownMemoryShare) }

// hostMemory is the host's memory in MiB.
func hostMemory() (int64, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, fmt.Errorf("measure the host's memory: %w", err)
	}
	return int64(info.Totalram) * int64(info.Unit) >> 20, nil
}

// easeCollector lets garbage pile up within the memory that is this process's
// own. Whoever sets GOGC or GOMEMLIMIT knows better.
func easeCollector() {
	total, err := hostMemory()
	if err != nil || os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetGCPercent(collectAt)
	debug.SetMemoryLimit(ownMemory(total) << 20)
}
