package identity

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"symbi.dev/symbi/agent"
)

// maxSecretBytes is more than any secret's file has.
const maxSecretBytes = 4 << 10

// writeOnce writes a secret to a file that is not there yet, whole or not at
// all; one that is there stays. Of several who do so at once one wins.
func writeOnce(path string, makeSecret func() (string, error)) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	text, err := makeSecret()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the folder of a secret: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".secret-*") // 0600
	if err != nil {
		return fmt.Errorf("write a secret: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write a secret: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write a secret: %w", err)
	}
	return nil
}

// readPrivate reads a secret's file, and refuses one that others may read.
func readPrivate(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", agent.Errorf(agent.ErrInvalid, "read a secret: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", agent.Errorf(agent.ErrInvalid, "read a secret: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", agent.Errorf(agent.ErrInvalid, "%s is not a file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", agent.Errorf(agent.ErrInvalid, "%s may be read by others; run `chmod 600 %s`, and replace it if they may have read it", path, path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecretBytes))
	if err != nil {
		return "", agent.Errorf(agent.ErrInvalid, "read a secret: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// hide prints in place of what holds a secret.
func hide(f fmt.State) { fmt.Fprint(f, "[secret]") }
