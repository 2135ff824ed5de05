package bpf

import (
	"slices"
	"testing"
)

func TestGroupMounts(t *testing.T) {
	const text = `22 1 0:21 / /proc rw,relatime shared:5 - proc proc rw
30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
31 24 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
40 24 0:26 /a /with\040blank\134 rw - cgroup2 none rw
41 24 0:26 / - cgroup2
short
`
	if got, want := groupMounts(text), []string{"/sys/fs/cgroup", `/with blank\`}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
