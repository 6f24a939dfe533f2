package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"symbi.dev/symbi/agent"
	"symbi.dev/symbi/internal/sandbox/initproto"
)

const (
	// maxSocketPath is what sun_path of unix(7) holds, less the zero that ends it.
	maxSocketPath = 107
	// dirMode lets the sandbox's user pass through the folder and not list it.
	dirMode = 0o711
	// socketMode lets the sandbox's user connect. Who else may is decided by
	// the folders above.
	socketMode = 0o666
)

// SocketName is the socket's name in its folder.
var SocketName = filepath.Base(initproto.Socket)

// listen makes the socket in dir.
func listen(ctx context.Context, dir string) (net.Listener, error) {
	path := filepath.Join(dir, SocketName)
	if len(path) > maxSocketPath {
		return nil, agent.Errorf(agent.ErrInvalid,
			"the socket's path %s has %d bytes, and the kernel takes %d; choose a data folder with a shorter path", path, len(path), maxSocketPath)
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("make the socket's folder: %w", err)
	}
	if err := os.Chmod(dir, dirMode); err != nil { // MkdirAll's is subject to the umask
		return nil, fmt.Errorf("make the socket's folder: %w", err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("make the gateway's socket: %w", err)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(fmt.Errorf("let the sandbox use the gateway's socket: %w", err), l.Close())
	}
	return l, nil
}

// removeStale removes the socket of an earlier process.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for an earlier gateway's socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return agent.Errorf(agent.ErrConflict, "%s is in the socket's place and is no socket; remove it", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove an earlier gateway's socket: %w", err)
	}
	return nil
}
