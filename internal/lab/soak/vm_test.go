//go:build soak && !guest

package soak

import (
	"os"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

// TestVMSoakPrograms runs the table. IPE_VM_KERNEL chooses one kernel.
func TestVMSoakPrograms(t *testing.T) {
	volume, err := Seal(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			vmtest.RunPackage(t, vm.Config{
				Kernel: k, Modules: []string{"dm-verity", "squashfs"}, MemoryMiB: 2048,
				Disks:   []vm.Disk{{Path: volume.Data, ReadOnly: true}, {Path: volume.Hashes, ReadOnly: true}},
				Env:     []string{"ROOT_HASH=" + volume.Root.String()},
				Timeout: time.Hour, Output: os.Stderr,
			}, "-test.run=^TestPrograms$")
		})
	}
}
