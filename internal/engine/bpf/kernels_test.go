//go:build !guest

package bpf

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/engine/bpf/layouttest"
	"github.com/ipe-linux/ipe/internal/engine/bpf/offsets/offsetstest"
)

func storedKernels(t *testing.T) map[string]offsetstest.Stored {
	t.Helper()
	all, err := offsetstest.Kernels("offsets/testdata")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestRelocations: where programs would find each member that they read, on each stored
// kernel. After a change in bpf/, "make btf" writes the expectation from the packages of
// the kernels, and the difference is for review.
func TestRelocations(t *testing.T) {
	for series, stored := range storedKernels(t) {
		kernel, err := stored.Kernel()
		if err != nil {
			t.Fatal(err)
		}
		want, err := stored.Expected()
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range offsetstest.Objects() {
			got, err := layouttest.Relocations(object, kernel)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.Relocations[object], got); diff != "" && len(got)+len(want.Relocations[object]) > 0 {
				t.Errorf("%s: %s: %s", series, object, diff)
			}
		}
	}
}

// TestLacking: what programs name and a kernel lacks. They ask whether it is there first,
// or belong to a hook that such a kernel lacks, too; anything else would not load.
func TestLacking(t *testing.T) {
	want := map[string][]string{
		"6.1":  {"fsverity_operations.inode_info_offs", "kernel_read_file_id", "linux_binprm.is_check", "lsm_integrity_type"},
		"6.12": {"fsverity_operations.inode_info_offs", "kernel_read_file_id", "linux_binprm.is_check"},
		"7.3":  {"fsverity_operations.inode_info_offs", "inode.i_verity_info"},
	}
	for series, stored := range storedKernels(t) {
		expected, err := stored.Expected()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, lines := range expected.Relocations {
			for _, line := range lines {
				if member, how, _ := strings.Cut(line, " "); strings.HasSuffix(how, "=poison") {
					got = append(got, member)
				}
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want[series], slices.Compact(got)); diff != "" {
			t.Errorf("%s: %s", series, diff)
		}
	}
}
