package sandbox

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"symbi.dev/symbi/agent"
)

// lifeSign is when a worker was last there, in a clock that nobody sets.
type lifeSign struct {
	Boot  string        `json:"boot"`  // which run of the machine
	Since time.Duration `json:"since"` // its start, time asleep counted
}

// bootTime reads that clock.
func bootTime() (lifeSign, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return lifeSign{}, fmt.Errorf("read the machine's boot id: %w", err)
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return lifeSign{}, fmt.Errorf("read the machine's clock: %w", err)
	}
	return lifeSign{Boot: strings.TrimSpace(string(id)), Since: time.Duration(ts.Nano())}, nil
}

// sinceAlive gives how long ago the last worker of this data folder was there:
// forever, where there was none or the machine was started since.
func (f folders) sinceAlive() (time.Duration, error) {
	now, err := bootTime()
	if err != nil {
		return 0, err
	}
	var last lifeSign
	err = readJSON(f.alive(), &last)
	if errors.Is(err, os.ErrNotExist) || err == nil && last.Boot != now.Boot {
		return math.MaxInt64, nil
	}
	if err != nil {
		return 0, agent.Errorf(agent.ErrInvalid, "find out when the last worker was there: %w", err)
	}
	return now.Since - last.Since, nil
}

// aliveWriteAtLeast bounds how often a life sign is written.
const aliveWriteAtLeast = 200 * time.Millisecond

// stayAlive writes life signs until the driver closes, ten in a lease's time
// to live.
func (d *Driver) stayAlive() {
	tick := time.NewTicker(min(max(d.cfg.LeaseTTL/10, aliveWriteAtLeast), aliveAtMost))
	defer tick.Stop()
	for {
		now, err := bootTime()
		if err == nil {
			err = writeJSON(d.folders.alive(), now)
		}
		if err != nil {
			d.cfg.Logger.Error("the node's sign of life was not written", "error", err)
		}
		select {
		case <-tick.C:
		case <-d.ctx.Done():
			return
		}
	}
}
