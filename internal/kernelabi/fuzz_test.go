package kernelabi

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
	f.Fuzz(func(t *testing.T, before string, id uint32) {
		id &= 1<<31 - 1
		line := fmt.Sprintf("%08x I------     1 perm 1f0f0000     0     0 keyring   .platform: 1\n", id)
		if got, want := parseKeyrings(before+"\n"+line), append(parseKeyrings(before+"\n"), int(id)); !slices.Equal(got, want) {
			t.Errorf("%q: %#x, want %#x", before, got, want)
		}
	})
}

// FuzzIsKernels compares with a regular expression.
func FuzzIsKernels(f *testing.F) {
	for _, s := range []string{"keyring;0;0;1f0f0000;.platform", "keyring;1000;1000;3f3f3f3f;x;.platform", "user;0;0;3f010000;keyring;0;0;1f0f0000;.platform", "keyring"} {
		f.Add(s)
	}
	only := regexp.MustCompile(`^keyring;0;[^;]*;[^;]*;\.(builtin_trusted_keys|secondary_trusted_keys|platform)$`)
	f.Fuzz(func(t *testing.T, description string) {
		if got := isKernels(description); got != only.MatchString(description) {
			t.Errorf("%q: %t", description, got)
		}
	})
}

// FuzzMountedType: what is mounted at a place is what the last line of that place says,
// whatever other places are called. The kernel writes blanks, tabs and line breaks of a
// name as numbers.
func FuzzMountedType(f *testing.F) {
	f.Add("/a", "bpf")
	f.Add("/sys/fs/bpf\u00a0x", "tmpfs")
	f.Add("/sys/fs/bpf\r", "tmpfs")
	f.Fuzz(func(t *testing.T, other, kind string) {
		other = strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(other)
		if other == bpfDir || kind == "" || strings.ContainsAny(kind, " \n") {
			return
		}
		line := func(at, kind string) string { return "30 21 0:28 / " + at + " rw shared:1 - " + kind + " x rw\n" }
		text := line(bpfDir, "first") + line(bpfDir, kind) + line(other, "another")
		if got := mountedType(text, bpfDir); got != kind {
			t.Errorf("%q: %q, want %q", text, got, kind)
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
