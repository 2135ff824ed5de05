package bpf

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// verityRing is the keyring whose keys the kernel takes for built-in signatures.
const verityRing = ".fs-verity"

// verityKeyring is the number of the keyring .fs-verity, 0 if it is empty.
//
// The list of keys says of each what its owner called it, line breaks and all, so it
// names candidates and proves nothing: whoever has a keyring could have it taken for the
// kernel's. That no name of a keyring begins with a dot but those that the kernel gave is
// certain, and the kernel says it of one key at a time.
func verityKeyring() (int32, error) {
	text, err := os.ReadFile("/proc/keys")
	if err != nil {
		return 0, fmt.Errorf("find keyring %s: %w", verityRing, err)
	}
	for _, id := range parseKeyrings(string(text)) {
		description, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, int(id))
		if err != nil || !isVerityRing(description) {
			continue // or it is gone
		}
		size, err := unix.KeyctlBuffer(unix.KEYCTL_READ, int(id), nil, 0)
		switch {
		case err != nil:
			return 0, fmt.Errorf("read keyring %s: %w", verityRing, err)
		case size == 0:
			return 0, nil
		}
		return id, nil
	}
	return 0, errors.New("find keyring " + verityRing + ": it is not in /proc/keys")
}

// parseKeyrings finds in a list of keys the numbers of those that may be called so.
func parseKeyrings(keys string) (ids []int32) {
	for line := range strings.Lines(keys) {
		number, rest, _ := strings.Cut(line, " ")
		if !strings.Contains(rest, " keyring   "+verityRing+": ") {
			continue
		}
		if n, err := strconv.ParseUint(number, 16, 31); err == nil {
			ids = append(ids, int32(n))
		}
	}
	return ids
}

// isVerityRing reads what the kernel says of one key: type;uid;gid;permissions;name.
func isVerityRing(description string) bool {
	f := strings.SplitN(description, ";", 5)
	return len(f) == 5 && f[0] == "keyring" && f[1] == "0" && f[4] == verityRing
}
