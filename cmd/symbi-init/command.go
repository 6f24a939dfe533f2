package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"
)

// defaultPath is searched when the task's environment has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Exit codes of init for a program that never ran, as shells use them.
const (
	codeRefused       = 125 // init would not, or could not, start anything
	codeNotExecutable = 126
	codeNotFound      = 127
)

// commandError says why a command cannot be started.
type commandError struct {
	code    int
	message string
}

func (e *commandError) Error() string { return e.message }

// lookUp finds the file that a command names, in the PATH of env when the
// name has no slash, else relative to dir.
func lookUp(name, dir string, env []string) (string, error) {
	if name == "" {
		return "", &commandError{codeNotFound, "the task names no command; set program.container.command, or give the image an ENTRYPOINT or CMD"}
	}
	if strings.Contains(name, "/") {
		file := name
		if !path.IsAbs(file) {
			file = path.Join(dir, file)
		}
		if err := executable(file); err != nil {
			return "", notStartable(file, err)
		}
		return file, nil
	}
	search, denied := defaultPath, ""
	if p, ok := lookEnv(env, "PATH"); ok {
		search = p
	}
	for _, folder := range strings.Split(search, ":") {
		file := path.Join(folder, name)
		if !path.IsAbs(file) {
			file = path.Join(dir, file)
		}
		err := executable(file)
		if err == nil {
			return file, nil
		}
		if errors.Is(err, os.ErrPermission) && denied == "" {
			denied = file
		}
	}
	if denied != "" {
		return "", notStartable(denied, os.ErrPermission)
	}
	return "", &commandError{codeNotFound, fmt.Sprintf("the command %q is in no folder of PATH (%s) in this image", name, search)}
}

// lookEnv gives the last setting of a variable, which is the one that counts.
func lookEnv(env []string, key string) (string, bool) {
	for i := len(env) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(env[i], "="); ok && k == key {
			return v, true
		}
	}
	return "", false
}

// accessExec is X_OK of access(2).
const accessExec = 1

// executable reports why a file cannot be run by this user.
func executable(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return syscall.EISDIR
	}
	if !info.Mode().IsRegular() || syscall.Access(file, accessExec) != nil {
		return os.ErrPermission
	}
	return nil
}

// notStartable puts an error about a command's file into words.
func notStartable(file string, err error) *commandError {
	switch {
	case errors.Is(err, syscall.EISDIR):
		return &commandError{codeNotExecutable, fmt.Sprintf("the command %s is a folder", file)}
	case errors.Is(err, os.ErrPermission):
		return &commandError{codeNotExecutable, fmt.Sprintf("the command %s is there but user 65534 may not execute it; set its mode to 0755 in the image", file)}
	case errors.Is(err, syscall.ENOEXEC):
		return &commandError{codeNotExecutable, fmt.Sprintf("the command %s is neither a program for this processor nor a script that begins with #!", file)}
	case errors.Is(err, syscall.E2BIG):
		return &commandError{codeNotExecutable, fmt.Sprintf("the arguments and variables of %s are longer than the kernel takes", file)}
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return &commandError{codeNotFound, fmt.Sprintf("the command %s is not in this image", file)}
	}
	return &commandError{codeNotExecutable, fmt.Sprintf("the command %s cannot be started: %v", file, err)}
}

// execError puts into words why a file that lookUp found would not start.
func execError(file string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return &commandError{codeNotFound, fmt.Sprintf("the command %s is there, but the interpreter on its first line or the dynamic loader that it needs is not in this image", file)}
	}
	return notStartable(file, err)
}
