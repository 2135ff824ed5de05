//go:build !guest

package bpf

import "testing"

func TestParseKeyring(t *testing.T) {
	const other = "1234abcd I------     1 perm 1f0b0000     0     0 keyring   .builtin_trusted_keys: 1\n"
	for name, tt := range map[string]struct {
		keys string
		want int32
		ok   bool
	}{
		"one key":       {other + "3c1d2b0a I------     1 perm 1f0f0000     0     0 keyring   .fs-verity: 1\n", 0x3c1d2b0a, true},
		"no key":        {other + "3c1d2b0a I------     1 perm 1f0f0000     0     0 keyring   .fs-verity: empty\n", 0, true},
		"no keyring":    {other, 0, false},
		"another's":     {"3c1d2b0a I------     1 perm 1f0f0000     0     0 user      keyring   .fs-verity2: 1\n", 0, false},
		"no number":     {"x I--Q---     1 perm 1f0f0000     0     0 keyring   .fs-verity: 1\n", 0, false},
		"large number":  {"ffffffff I--Q---     1 perm 1f0f0000     0     0 keyring   .fs-verity: 1\n", 0, false},
		"nothing there": {"", 0, false},
	} {
		got, err := parseKeyring(tt.keys)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%s: %#x, %v", name, got, err)
		}
	}
}
