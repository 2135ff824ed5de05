package abi

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// FuzzParseVersion compares with a regular expression, and reads back what is printed.
func FuzzParseVersion(f *testing.F) {
	for _, s := range []string{"6.12.117-cloud-amd64", "7.0-rc3", "6", "6.1.", "6.-1.2", "+6.1", " 6.1", "6_1.2", "6.1.99999999999999999999", "\u0666.1"} {
		f.Add(s)
	}
	head := regexp.MustCompile(`^([0-9]+)\.([0-9]+)(?:\.([0-9]+))?`)
	f.Fuzz(func(t *testing.T, release string) {
		v, err := ParseVersion(release)
		m := head.FindStringSubmatch(release)
		fits := func(digits string) bool { _, err := strconv.Atoi(digits); return err == nil }
		if good := m != nil && fits(m[1]) && fits(m[2]); good != (err == nil) {
			t.Fatalf("%q: %v, %v", release, v, err)
		} else if !good {
			return
		}
		for i, n := range []int{v.Major, v.Minor, v.Patch} {
			if want, err := strconv.Atoi(m[i+1]); err == nil && n != want || err != nil && n != 0 {
				t.Errorf("%q: %v", release, v)
			}
		}
		if again, err := ParseVersion(v.String()); err != nil || again != v {
			t.Errorf("%q is %v, read back as %v, %v", release, v, again, err)
		}
	})
}

// FuzzParseKeyrings: a keyring is found whatever stands before it in the list.
func FuzzParseKeyrings(f *testing.F) {
	f.Add("", uint32(7))
	f.Add("00000001 I--Q---     1 perm 3f3f3f3f  1000  1000 keyring   .platform: 1", uint32(0x3c1d2b0a))
	f.Add("00000001 I--Q---     1 perm 3f3f3f3f  1000  1000 keyring   x keyring   .platform: 1: 1", uint32(0x3c1d2b0a))
	f.Fuzz(func(t *testing.T, before string, id uint32) {
		id &= 1<<31 - 1
		line := fmt.Sprintf("%08x I------     1 perm 1f0f0000     0     0 keyring   .platform: 1\n", id)
		got, want := parseKeyrings(before+"\n"+line, keyrings()), append(parseKeyrings(before+"\n", keyrings()), int(id))
		if !slices.Equal(got, want) {
			t.Errorf("%q: %#x, want %#x", before, got, want)
		}
	})
}

// FuzzIsKeyring compares with a regular expression.
func FuzzIsKeyring(f *testing.F) {
	for _, s := range []string{"keyring;0;0;1f0f0000;.platform", "keyring;1000;1000;3f3f3f3f;x;.platform", "user;0;0;3f010000;keyring;0;0;1f0f0000;.platform", "keyring;0;0;1f0f0000;.platform2", "keyring"} {
		f.Add(s)
	}
	only := regexp.MustCompile(`^keyring;0;[^;]*;[^;]*;\.(builtin_trusted_keys|secondary_trusted_keys|platform)$`)
	f.Fuzz(func(t *testing.T, description string) {
		if got := isKeyring(description, keyrings()); got != only.MatchString(description) {
			t.Errorf("%q: %t", description, got)
		}
	})
}

func TestParseKeyrings(t *testing.T) {
	const (
		other = "1234abcd I------     1 perm 1f0b0000     0     0 keyring   .builtin_trusted_keys: 1\n"
		ring  = "3c1d2b0a I------     1 perm 1f0f0000     0     0 keyring   .fs-verity: "
	)
	for name, tt := range map[string]struct {
		keys string
		want []int
	}{
		"one key":       {other + ring + "1\n", []int{0x3c1d2b0a}},
		"no key":        {other + ring + "empty\n", []int{0x3c1d2b0a}},
		"no keyring":    {other, nil},
		"another's":     {"3c1d2b0a I------     1 perm 1f0f0000     0     0 user      keyring   .fs-verity: 1\n", nil},
		"no number":     {"x I--Q---     1 perm 1f0f0000     0     0 keyring   .fs-verity: 1\n", nil},
		"large number":  {"ffffffff I--Q---     1 perm 1f0f0000     0     0 keyring   .fs-verity: 1\n", nil},
		"a lie before":  {"00000001 I--Q---     1 perm 3f3f3f3f  1000  1000 keyring   .fs-verity: 1: 1\n" + ring + "1\n", []int{1, 0x3c1d2b0a}},
		"nothing there": {"", nil},
	} {
		if got := parseKeyrings(tt.keys, []string{".fs-verity"}); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %#x", name, got)
		}
	}
}

func TestMounts(t *testing.T) {
	const text = `22 1 0:21 / /proc rw,relatime shared:5 - proc proc rw
30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
40 24 0:26 /a /with\040blank\134 rw - cgroup2 none rw
41 24 0:26 / - cgroup2
short
`
	want := []Mount{
		{"0:21", "/proc", "proc", "proc"}, {"0:26", "/sys/fs/cgroup", "cgroup2", "cgroup2"}, {"0:26", `/with blank\`, "cgroup2", "none"},
	}
	if got := slices.Collect(Mounts(text)); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	for range Mounts(text) {
		break // a caller that has enough gets no more
	}
}

// FuzzMounts: a mount is read back as it was, whatever it is called; others before it
// change nothing. The kernel writes blanks, tabs, line breaks and # of a name as numbers.
func FuzzMounts(f *testing.F) {
	f.Add("", "/a", "bpf", "none")
	f.Add("23 28 0:22 / /sys rw", "/sys/fs/bpf\u00a0x", "tmpfs", "/dev/vda1")
	f.Add("x - y", "/ #\t\n\\r", "ext4", "\r")
	f.Add("", "/", "ext4", "/dev/mapper/a\\x20b c")
	escape := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, "#", `\043`, `\`, `\134`)
	f.Fuzz(func(t *testing.T, before, point, kind, source string) {
		if strings.ContainsAny(kind, " \n") {
			return
		}
		want := Mount{Device: "254:1", Point: point, Type: kind, Source: source}
		line := "30 21 254:1 / " + escape.Replace(point) + " rw shared:1 - " + kind + " " + escape.Replace(source) + " rw\n"
		got := slices.Collect(Mounts(before + "\n" + line))
		if !slices.Equal(got, append(slices.Collect(Mounts(before+"\n")), want)) {
			t.Errorf("%q: %+v, want %+v", before+line, got, want)
		}
		if last := MountedAt(before+"\n"+line, point); last != want {
			t.Errorf("%q: last %+v, want %+v", before+line, last, want)
		}
	})
}

// FuzzMatchSymbol: a symbol of the kernel itself is found, and its address; one of a
// module is not.
func FuzzMatchSymbol(f *testing.F) {
	f.Add(uint64(0xffffffff81000000), "_text", " [ip_tables]")
	f.Add(uint64(0), "x", "")
	f.Fuzz(func(t *testing.T, address uint64, name, behind string) {
		i, at, err := matchSymbol(fmt.Appendf(nil, "%016x T %s%s", address, name, behind), []string{"other", name})
		switch {
		case behind == "" && name != "other" && address != 0 && (i != 1 || at != address || err != nil),
			behind == "" && address == 0 && !errors.Is(err, ErrHidden),
			behind != "" && name+behind != "other" && i >= 0:
			t.Errorf("%x %q %q: %d, %x, %v", address, name, behind, i, at, err)
		}
	})
}
