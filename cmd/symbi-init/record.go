package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"

	"symbi.dev/symbi/internal/sandbox/initproto"
)

// leave writes a record whole, and then renames it into place.
func leave(file string, record any) error {
	data, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	temp := file + ".new"
	_ = os.Remove(temp)
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temp, file)
	}
	if err != nil {
		_ = os.Remove(temp)
	}
	return err
}

// leaveExit writes the exit record, whatever the program has done to the
// control folder, which is its own as much as init's. All its processes must
// be gone.
func leaveExit(e initproto.Exit) error {
	err := leave(initproto.ExitFile, e)
	for _, makeRoom := range []func(){clearWay, removeStrangers, removeResult, removeLogs} {
		if err == nil {
			return nil
		}
		makeRoom()
		err = leave(initproto.ExitFile, e)
	}
	return err
}

// clearWay makes the folder and the record's names usable again.
func clearWay() {
	_ = os.Chmod(initproto.ControlDir, 0o700)
	removeTree(initproto.ExitFile)
	removeTree(initproto.ExitFile + ".new")
}

// removeStrangers removes what is neither log, result nor record.
func removeStrangers() {
	removeWhere(func(name string) bool {
		file := path.Join(initproto.ControlDir, name)
		return !strings.HasPrefix(file, initproto.LogPrefix) &&
			file != initproto.ResultFile && file != initproto.StartedFile
	})
}

// removeResult removes a result that is too large to be one.
func removeResult() {
	if info, err := os.Lstat(initproto.ResultFile); err == nil && info.Size() > initproto.MaxResult {
		removeTree(initproto.ResultFile)
	}
}

// removeLogs gives up all of the log but its beginning.
func removeLogs() {
	first := path.Base(initproto.LogPrefix) + "0"
	removeWhere(func(name string) bool {
		return strings.HasPrefix(name, path.Base(initproto.LogPrefix)) && name != first
	})
}

func removeWhere(chosen func(name string) bool) {
	entries, _ := os.ReadDir(initproto.ControlDir)
	for _, e := range entries {
		if chosen(e.Name()) {
			removeTree(path.Join(initproto.ControlDir, e.Name()))
		}
	}
}

// removeTree removes a file or a folder, also one that was made unreadable.
func removeTree(name string) {
	if os.RemoveAll(name) == nil {
		return
	}
	if info, err := os.Lstat(name); err == nil && info.IsDir() {
		_ = os.Chmod(name, 0o700)
		entries, _ := os.ReadDir(name)
		for _, e := range entries {
			removeTree(path.Join(name, e.Name()))
		}
		_ = os.Remove(name)
	}
}
