//go:build dev

package temporaldev_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// socket is one on which this process accepts connections.
type socket struct {
	address string
	fd      int
}

// listening gives the addresses on which this process accepts TCP connections.
func listening(t *testing.T) (addresses []string) {
	t.Helper()
	for _, s := range sockets(t) {
		addresses = append(addresses, s.address)
	}
	slices.Sort(addresses)
	return addresses
}

// sockets reads the kernel's tables: "sl local_address rem_address st … inode".
func sockets(t *testing.T) (all []socket) {
	t.Helper()
	fds := socketFiles(t)
	for _, table := range []string{"tcp", "tcp6"} {
		content, err := os.ReadFile("/proc/self/net/" + table)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(content), "\n")[1:] {
			f := strings.Fields(line)
			const listen = "0A"
			if len(f) < 10 || f[3] != listen {
				continue
			}
			if fd, ours := fds[f[9]]; ours {
				all = append(all, socket{address: parseAddress(t, f[1]), fd: fd})
			}
		}
	}
	return all
}

// socketFiles maps the inodes of this process's sockets to its descriptors.
func socketFiles(t *testing.T) map[string]int {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	fds := map[string]int{}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil {
			continue // closed since
		}
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			fd, err := strconv.Atoi(filepath.Base(link))
			if err != nil {
				t.Fatal(err)
			}
			fds[strings.TrimSuffix(inode, "]")] = fd
		}
	}
	return fds
}

// parseAddress reads "0100007F:1C41": words of the machine's order, here little
// endian, in hexadecimal.
func parseAddress(t *testing.T, text string) string {
	t.Helper()
	host, port, _ := strings.Cut(text, ":")
	ip, err := hex.DecodeString(host)
	if err != nil {
		t.Fatal(err)
	}
	for word := range slices.Chunk(ip, 4) {
		slices.Reverse(word)
	}
	address, ok := netip.AddrFromSlice(ip)
	if !ok {
		t.Fatalf("address %q in the kernel's table", text)
	}
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort(address.String(), fmt.Sprint(number))
}
