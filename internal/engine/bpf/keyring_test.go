//go:build !guest

package bpf

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestParseKeyrings(t *testing.T) {
	const (
		other = "1234abcd I------     1 perm 1f0b0000     0     0 keyring   .builtin_trusted_keys: 1\n"
		ring  = "3c1d2b0a I------     1 perm 1f0f0000     0     0 keyring   .fs-verity: "
	)
	for name, tt := range map[string]struct {
		keys string
		want []int32
	}{
		"one key":       {other + ring + "1\n", []int32{0x3c1d2b0a}},
		"no key":        {other + ring + "empty\n", []int32{0x3c1d2b0a}},
		"no keyring":    {other, nil},
		"another's":     {"3c1d2b0a I------     1 perm 1f0f0000     0     0 user      keyring   .fs-verity2: 1\n", nil},
		"no number":     {"x I--Q---     1 perm 1f0f0000     0     0 keyring   .fs-verity: 1\n", nil},
		"large number":  {"ffffffff I--Q---     1 perm 1f0f0000     0     0 keyring   .fs-verity: 1\n", nil},
		"a lie before":  {"00000001 I--Q---     1 perm 3f3f3f3f  1000  1000 keyring   x keyring   .fs-verity: 1: 1\n" + ring + "1\n", []int32{1, 0x3c1d2b0a}},
		"nothing there": {"", nil},
	} {
		if got := parseKeyrings(tt.keys); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %#x", name, got)
		}
	}
}

// FuzzParseKeyrings: a line is found whatever stands before it, names of others too, and
// takes nothing from that.
func FuzzParseKeyrings(f *testing.F) {
	f.Add("", uint32(7))
	f.Add("00000001 I--Q---     1 perm 3f3f3f3f  1000  1000 keyring   x keyring   .fs-verity: 1: 1", uint32(0x3c1d2b0a))
	f.Fuzz(func(t *testing.T, before string, id uint32) {
		id &= 1<<31 - 1
		line := fmt.Sprintf("%08x I------     1 perm 1f0f0000     0     0 keyring   .fs-verity: 1\n", id)
		got := parseKeyrings(before + "\n" + line)
		if want := append(parseKeyrings(before+"\n"), int32(id)); !slices.Equal(got, want) {
			t.Errorf("%q: %#x, want %#x", before, got, want)
		}
	})
}

// FuzzVerityRing compares with a regular expression.
func FuzzVerityRing(f *testing.F) {
	for _, s := range []string{"keyring;0;0;1f0f0000;.fs-verity", "keyring;1000;1000;3f3f3f3f;x;.fs-verity", "user;0;0;3f010000;keyring;0;0;1f0f0000;.fs-verity", "keyring;0;0;1f0f0000;.fs-verity2", "keyring"} {
		f.Add(s)
	}
	only := regexp.MustCompile(`^keyring;0;[^;]*;[^;]*;\.fs-verity$`)
	f.Fuzz(func(t *testing.T, description string) {
		if got := isVerityRing(description); got != only.MatchString(description) || got && strings.Count(description, ";") != 4 {
			t.Errorf("%q: %t", description, got)
		}
	})
}
