package policy

import (
	"cmp"
	"fmt"
)

// Version is a policy_version: three numbers of 16 bits each.
type Version struct {
	Major, Minor, Rev uint16
}

// String returns MAJOR.MINOR.REV without leading zeros.
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Rev) }

// MarshalText implements [encoding.TextMarshaler].
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]; see [ParseVersion].
func (v *Version) UnmarshalText(text []byte) (err error) {
	*v, err = ParseVersion(string(text))
	return err
}

// Compare orders versions by major, then minor, then revision.
func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Major, w.Major), cmp.Compare(v.Minor, w.Minor), cmp.Compare(v.Rev, w.Rev))
}
