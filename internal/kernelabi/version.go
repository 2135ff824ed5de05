package kernelabi

import (
	"cmp"
	"fmt"
)

// Version is the numeric head of a kernel release such as "6.12.117-cloud-amd64".
type Version struct {
	Major, Minor, Patch int
}

// ParseVersion reads the leading MAJOR.MINOR[.PATCH] of a release as uname(2)
// gives it. A missing patch level is 0 and whatever follows is ignored.
func ParseVersion(release string) (Version, error) {
	var v Version
	n, _ := fmt.Sscanf(release, "%d.%d.%d", &v.Major, &v.Minor, &v.Patch)
	if n < 2 {
		return Version{}, fmt.Errorf("kernel release %q: it does not begin with MAJOR.MINOR", release)
	}
	if v.Major < 0 || v.Minor < 0 || v.Patch < 0 {
		return Version{}, fmt.Errorf("kernel release %q: negative number", release)
	}
	return v, nil
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
