//go:build guest

package bpf

import (
	"slices"
	"testing"

	"github.com/ipe-linux/ipe/internal/engine/bpf/recall"
	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// TestEngineAsksForSymbols: a program is given the addresses that the kernel's list has.
func TestEngineAsksForSymbols(t *testing.T) {
	// One name fills whole words with its NUL, one does not; both are in every kernel.
	names := []string{abi.VerityTableHash, "_printk", "jiffies_64"}
	want, err := abi.Symbols(names...)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if got, err := recall.Symbols(name); err != nil || got[0] != want[i] {
			t.Errorf("%s is at %#x, %v, want %#x", name, got, err, want[i])
		}
	}
	if got, err := recall.Symbols(names...); err != nil || !slices.Equal(got, want) {
		t.Errorf("all: %#x, %v, want %#x", got, err, want)
	}
	if at, err := recall.Symbols("no_such_symbol"); err == nil {
		t.Errorf("a symbol that is not there is at %#x", at)
	}
	if _, err := recall.Symbols(names[0], "no_such_symbol"); err == nil {
		t.Error("a symbol that is not there was found")
	}
}
