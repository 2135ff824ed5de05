//go:build !guest

package bpf_test

import (
	"testing"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

// TestVMPreempted: a kernel that preempts itself leaves programs out, and one that does not
// leaves out none.
func TestVMPreempted(t *testing.T) {
	t.Parallel()
	for _, on := range []struct{ kernel, model, may string }{
		{"6.1", "voluntary", ""},
		{"6.1", "full", "1"},
		{"newest", "full", "1"},
	} {
		t.Run(on.kernel+" "+on.model, func(t *testing.T) {
			t.Parallel()
			vmtest.RunPackage(t, vm.Config{
				Kernel: vmtest.Kernel(t, on.kernel), Env: []string{"MAY_LEAVE_OUT=" + on.may}, Append: []string{"preempt=" + on.model},
			}, "-test.run=^TestPreempted$")
		})
	}
}
