//go:build !guest

package bpf

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

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

func TestParseMounts(t *testing.T) {
	ids, devices := parseMounts(`21 1 0:20 / /proc rw,nosuid shared:1 - proc proc rw
25 1 259:1 / / rw,relatime shared:1 master:2 - ext4 /dev/nvme0n1p1 rw
31 25 0:47 / /home/u/ext4 rw - fuse.evil ext4 rw
33 25 0:40 / /data rw - btrfs /dev/sdb rw
no line
`)
	if diff := cmp.Diff(map[string]bool{"25": true, "33": true}, ids); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]bool{"259:1": true, "0:40": true}, devices); diff != "" {
		t.Error(diff)
	}
}

func TestParseMaps(t *testing.T) {
	got := parseMaps(`00400000-00452000 r-xp 00000000 103:01 173521      /usr/bin/a
00651000-00652000 r--p 00051000 103:01 173521      /usr/bin/a
7f0000000000-7f0000001000 r--p 00000000 103:01 99 /usr/lib/a b (deleted)
7f0000002000-7f0000003000 r--p 00000000 00:2f 7 /home/u/evil
7f0000004000-7f0000005000 rw-p 00000000 00:00 0
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]
`, map[string]bool{"259:1": true})
	if diff := cmp.Diff([]string{"400000-452000", "7f0000000000-7f0000001000"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestMountOf(t *testing.T) {
	if got := mountOf("pos:\t0\nflags:\t02100000\nmnt_id:\t25\nino:\t9\n"); got != "25" {
		t.Errorf("%q", got)
	}
	if got := mountOf("pos:\t0\n"); got != "" {
		t.Errorf("%q", got)
	}
}
