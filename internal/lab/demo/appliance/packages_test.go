//go:build linux

package appliance

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseClosure(t *testing.T) {
	const out = "nftables\n  Depends: libc6\n  Depends: <virtual>\nlibc6\n  Depends: libgcc-s1\n<virtual>\nlibgcc-s1\nlibc6\n"
	if diff := cmp.Diff([]string{"nftables", "libc6", "libgcc-s1"}, parseClosure(out)); diff != "" {
		t.Error(diff)
	}
}
