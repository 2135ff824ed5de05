//go:build guest

package bpf

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// TestEngineTakesNoOtherKeyring: keyrings of others, whose names make the list of keys
// say that they are the kernel's, change nothing.
func TestEngineTakesNoOtherKeyring(t *testing.T) {
	want, err := abi.VerityKeyring()
	if err != nil {
		t.Fatal(err)
	}
	mine := add(t, "keyring", "mine")
	for i := range 16 { // numbers are random, and the list is in their order
		add(t, "keyring", fmt.Sprintf("x keyring   .fs-verity: %d", i))
		add(t, "user", fmt.Sprintf("x: %d\n%08x I------     1 perm 1f0f0000     0     0 keyring   .fs-verity: 1", i, mine))
	}
	text, err := os.ReadFile("/proc/keys")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), " keyring   .fs-verity: "); n < 33 {
		t.Fatalf("%d lines read as that of the keyring: the names made none", n)
	}
	if got, err := abi.VerityKeyring(); err != nil || got != want {
		t.Errorf("%#x, %v; want %#x", got, err, want)
	}
	if _, err := unix.AddKey("keyring", ".fs-verity", nil, unix.KEY_SPEC_USER_KEYRING); err == nil {
		t.Error("a name that only the kernel gives was given")
	}
}

func add(t *testing.T, kind, name string) int {
	t.Helper()
	var payload []byte
	if kind == "user" {
		payload = []byte("x")
	}
	id, err := unix.AddKey(kind, name, payload, unix.KEY_SPEC_USER_KEYRING)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := unix.KeyctlInt(unix.KEYCTL_UNLINK, id, unix.KEY_SPEC_USER_KEYRING, 0, 0); err != nil {
			t.Error(err)
		}
	})
	return id
}
