package dmverity_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/verity/dmverity"
)

// FuzzParseUUID compares with a regular expression; what is read is printed as it was,
// but for the case of letters.
func FuzzParseUUID(f *testing.F) {
	for _, s := range []string{"01234567-89ab-cdef-0123-456789ABCDEF", "0123456789ab-cdef-0123-456789abcdef", "g1234567-89ab-cdef-0123-456789abcdef", "----", "", "\u0661"} {
		f.Add(s)
	}
	only := regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	f.Fuzz(func(t *testing.T, s string) {
		u, err := dmverity.ParseUUID(s)
		switch {
		case (err == nil) != only.MatchString(s):
			t.Errorf("%q: %v, %v", s, u, err)
		case err != nil && !errors.Is(err, dmverity.ErrParams):
			t.Error(err)
		case err == nil && u.String() != strings.ToLower(s):
			t.Errorf("%q is printed as %q", s, u)
		}
	})
}
