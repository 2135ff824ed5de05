package abi

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Version is the numeric head of a kernel release such as "6.12.117-cloud-amd64".
type Version struct {
	Major, Minor, Patch int
}

// ParseVersion reads the leading MAJOR.MINOR[.PATCH] of a release as uname(2)
// gives it. A missing patch level is 0 and whatever follows is ignored.
func ParseVersion(release string) (Version, error) {
	major, rest, ok := number("." + release)
	minor, rest, also := number(rest)
	if !ok || !also {
		return Version{}, fmt.Errorf("kernel release %q: it does not begin with MAJOR.MINOR", release)
	}
	patch, _, _ := number(rest)
	return Version{Major: major, Minor: minor, Patch: patch}, nil
}

// number reads a dot and the decimal number behind it. If there is none, n is 0.
func number(s string) (n int, rest string, ok bool) {
	digits, dotted := strings.CutPrefix(s, ".")
	end := len(digits) - len(strings.TrimLeft(digits, "0123456789"))
	n, err := strconv.Atoi(digits[:end])
	if !dotted || err != nil {
		return 0, s, false
	}
	return n, digits[end:], true
}

// String returns MAJOR.MINOR.PATCH.
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// Compare orders versions by major, then minor, then patch level.
func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Major, w.Major), cmp.Compare(v.Minor, w.Minor), cmp.Compare(v.Patch, w.Patch))
}

// AtLeast reports whether v is major.minor or later.
func (v Version) AtLeast(major, minor int) bool {
	return v.Compare(Version{Major: major, Minor: minor}) >= 0
}
