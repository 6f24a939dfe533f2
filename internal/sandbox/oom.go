package sandbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// noteKills counts what the kernel kills in the container for its memory,
// until the container is gone or the driver closes. The accounts alone
// cannot be relied on: a kill of gVisor's kernel ends the container, and its
// accounts go with it, often before anybody has read them; nor can the engine,
// which hears of the kill and of the end apart.
func (sb *Sandbox) noteKills(group *cgroup) {
	if group.v2 {
		s := sb.d.watch.subscribe(group.path[""])
		defer s.close()
		for s.wait(sb.d.ctx, sb.done) == nil && !sb.ended() {
			sb.account()
		}
		return
	}
	alarm, err := group.memoryAlarm()
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			sb.log().Warn("kills for memory are heard of from the engine only", "error", err)
		}
		return
	}
	defer alarm.Close()
	defer context.AfterFunc(sb.d.ctx, func() { _ = alarm.Close() })()
	for {
		var rung [8]byte
		if _, err := alarm.Read(rung[:]); err != nil {
			return
		}
		// It rings once for a kill, before the kill, and once when the accounts go.
		_, err := os.Stat(filepath.Join(group.path["memory"], oomControl))
		gone := err != nil
		if !gone || binary.NativeEndian.Uint64(rung[:]) > 1 {
			sb.mu.Lock()
			sb.rec.Used.OOMKills = max(sb.rec.Used.OOMKills, 1)
			sb.mu.Unlock()
		}
		if gone {
			return
		}
	}
}

// oomControl is the file of version 1 about kills for memory.
const oomControl = "memory.oom_control"

// memoryAlarm gives a counter that the kernel raises when memory is used up.
// Reading it waits for that. Version 1 only.
func (g *cgroup) memoryAlarm() (*os.File, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch a container's memory: %w", err)
	}
	alarm := os.NewFile(uintptr(fd), "memory alarm")
	control, err := os.Open(filepath.Join(g.path["memory"], oomControl))
	if err == nil {
		defer control.Close()
		err = os.WriteFile(filepath.Join(g.path["memory"], "cgroup.event_control"), fmt.Appendf(nil, "%d %d", fd, control.Fd()), 0)
	}
	if err != nil {
		_ = alarm.Close()
		return nil, fmt.Errorf("watch a container's memory: %w", err)
	}
	return alarm, nil
}
