//go:build !guest

package bpf

import (
	"path/filepath"
	"testing"
)

// TestNoPins: while the file system of the pins is unmounted there are no other builds,
// which is no error: what was asked for is answered.
func TestNoPins(t *testing.T) {
	d := &pinDir{root: filepath.Join(t.TempDir(), "gone")}
	if dirs, err := d.otherBuilds(); err != nil || len(dirs) > 0 {
		t.Errorf("%q, %v", dirs, err)
	}
}
