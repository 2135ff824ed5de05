package abi

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// verityRing is the keyring whose keys the kernel takes for built-in signatures.
const verityRing = ".fs-verity"

// VerityKeyring is the number of the keyring .fs-verity, 0 if it is empty.
func VerityKeyring() (int32, error) {
	list, err := os.ReadFile("/proc/keys")
	if err != nil {
		return 0, fmt.Errorf("find keyring %s: %w", verityRing, err)
	}
	ids := FindKeyrings(string(list), verityRing)
	if len(ids) == 0 {
		return 0, errors.New("find keyring " + verityRing + ": it is not in /proc/keys")
	}
	size, err := unix.KeyctlBuffer(unix.KEYCTL_READ, ids[0], nil, 0)
	switch {
	case err != nil:
		return 0, fmt.Errorf("read keyring %s: %w", verityRing, err)
	case size == 0:
		return 0, nil
	}
	return int32(ids[0]), nil
}
