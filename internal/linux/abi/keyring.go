package abi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// keyrings are those whose keys may sign policies for the kernel's own IPE. The
// secondary one has the builtin one in it, or does not exist.
func keyrings() []string {
	return []string{".builtin_trusted_keys", ".secondary_trusted_keys", ".platform"}
}

// trustedKeys describes the keys that may sign policies for the kernel's own IPE.
func (s *System) trustedKeys() ([]string, error) {
	if s.Keys != nil {
		return s.Keys()
	}
	rings, err := s.keyringIDs()
	if err != nil {
		return nil, err
	}
	var all []string
	for _, ring := range rings {
		keys, err := keysIn(ring)
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
	return all, nil
}

// keyringIDs finds the kernel's keyrings, which have names and no fixed numbers.
func (s *System) keyringIDs() ([]int, error) {
	list, err := s.read("proc/keys")
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	ids := FindKeyrings(list, keyrings()...)
	if len(ids) == 0 {
		return nil, errors.New("list keys: /proc/keys shows none of the kernel's keyrings")
	}
	return ids, nil
}

// FindKeyrings returns the numbers of the kernel's keyrings of these names, which begin
// with a dot, by the list of /proc/keys.
//
// The list prints of each key what its owner called it, line breaks and all, so it names
// candidates and proves nothing: somebody who has a keyring could have it taken for the
// kernel's. So the kernel is asked of each; only the kernel names a keyring with a dot.
func FindKeyrings(list string, names ...string) (ids []int) {
	for _, id := range parseKeyrings(list, names) {
		description, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, id)
		if err == nil && isKeyring(description, names) { // otherwise it may be gone
			ids = append(ids, id)
		}
	}
	return ids
}

// parseKeyrings finds in a list of keys the numbers of those that may be keyrings of these
// names.
func parseKeyrings(list string, names []string) (ids []int) {
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		if len(fields) < 9 || fields[7] != "keyring" || !slices.Contains(names, strings.TrimSuffix(fields[8], ":")) {
			continue
		}
		if id, err := strconv.ParseUint(fields[0], 16, 31); err == nil {
			ids = append(ids, int(id))
		}
	}
	return ids
}

// isKeyring reads what the kernel says of one key: type;uid;gid;permissions;name.
func isKeyring(description string, names []string) bool {
	f := strings.SplitN(description, ";", 5)
	return len(f) == 5 && f[0] == "keyring" && f[1] == "0" && slices.Contains(names, f[4])
}

// keysIn describes the keys of a keyring. One that is revoked meanwhile is no more.
func keysIn(ring int) ([]string, error) {
	size, err := unix.KeyctlBuffer(unix.KEYCTL_READ, ring, nil, 0)
	if err != nil {
		return nil, fmt.Errorf("read keyring: %w", err)
	}
	if size == 0 {
		return nil, nil
	}
	buf := make([]byte, size)
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, ring, buf, 0)
	if err != nil {
		return nil, fmt.Errorf("read keyring: %w", err)
	}
	var keys []string
	for buf = buf[:min(n, size)]; len(buf) >= 4; buf = buf[4:] {
		text, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, int(binary.NativeEndian.Uint32(buf)))
		if err != nil {
			continue
		}
		// type;uid;gid;permissions;description
		if parts := strings.SplitN(text, ";", 5); len(parts) == 5 && parts[0] == "asymmetric" {
			keys = append(keys, parts[4])
		}
	}
	return keys, nil
}
