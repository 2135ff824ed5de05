package ftrace

import (
	"slices"
	"strings"
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

// FuzzGroupMounts: a mount point is read back as it was, whatever it is called; others
// are none of control groups. The kernel writes blanks, tabs, line breaks and backslashes
// as numbers.
func FuzzGroupMounts(f *testing.F) {
	f.Add("/sys/fs/cgroup", "")
	f.Add("/with blank\\", "30 24 0:26 / /x rw - cgroup cgroup rw")
	f.Add("/a\u00a0b\r\f", "30 24 0:26")
	escape := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`)
	f.Fuzz(func(t *testing.T, point, before string) {
		line := "30 24 0:26 / " + escape.Replace(point) + " rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
		got, want := groupMounts(before+"\n"+line), append(groupMounts(before+"\n"), point)
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}
