package vm

import (
	"bytes"
	"errors"
	"os"
	"testing"
)

// TestVariables adds to the variables that Debian ships; what was there stays, and a
// second one follows the first.
func TestVariables(t *testing.T) {
	vars, err := os.ReadFile(firmwareVars)
	if err != nil {
		t.Fatal(err)
	}
	before, end, err := freeSpace(vars)
	if err != nil || vars[before] != 0xff || !bytes.Contains(vars[:before], []byte("d\x00b\x00x\x00\x00\x00")) {
		t.Fatalf("free from %#x to %#x, %v", before, end, err)
	}
	list := signatureList(shimGUID, []byte("certificate"))
	more := vars
	for range 2 {
		if more, err = addVariable(more, shimGUID, "MokList", list); err != nil {
			t.Fatal(err)
		}
	}
	after, _, err := freeSpace(more)
	if err != nil || len(more) != len(vars) || !bytes.Equal(more[:before], vars[:before]) || !bytes.Equal(more[after:], vars[after:]) {
		t.Errorf("free from %#x, %v", after, err)
	}
	if n := bytes.Count(more[before:after], list); n != 2 {
		t.Errorf("%d lists, want 2", n)
	}
	if _, err := addVariable(vars, shimGUID, "MokList", make([]byte, end)); !errors.Is(err, errNoStore) {
		t.Errorf("more than there is room for: %v", err)
	}
	for _, bad := range [][]byte{nil, vars[:60], make([]byte, 1<<16), vars[:before]} {
		if _, err := addVariable(bad, shimGUID, "MokList", list); err == nil {
			t.Errorf("%d bytes took a variable", len(bad))
		}
	}
}
