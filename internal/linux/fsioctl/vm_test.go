//go:build linux && !guest

package fsioctl_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

func config(t *testing.T, k debian.Kernel, modules ...string) vm.Config {
	t.Helper()
	return vm.Config{
		Kernel:  k,
		Modules: append([]string{"loop", "overlay"}, modules...),
		Files:   vmtest.HostBinary(t, "fsverity", "mount", "mke2fs", "tune2fs"),
		Env:     []string{"KERNEL_NAME=" + k.Name},
		Timeout: 10 * time.Minute,
	}
}

func TestVMKernel(t *testing.T) {
	t.Parallel()
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			var modules []string
			if k.Name == "6.1" { // it is built into the others
				modules = []string{"sha512_generic"}
			}
			vmtest.RunPackage(t, config(t, k, modules...), "-test.run=^Test(Kernel|Command)")
		})
	}
}

// TestVMWithoutAlgorithm: 6.1 has sha512 in a module.
func TestVMWithoutAlgorithm(t *testing.T) {
	t.Parallel()
	vmtest.RunPackage(t, config(t, vmtest.Kernel(t, "6.1")), "-test.run=^TestNoAlgorithm")
}

// TestVMBtrfsOnKernels: older ones keep descriptors and signatures to themselves.
func TestVMBtrfsOnKernels(t *testing.T) {
	t.Parallel()
	dir, err := debian.Unpacked(t.Context(), debian.BtrfsTools()...)
	if err != nil {
		t.Fatal(err)
	}
	mkfs := filepath.Join(dir, "sbin", "mkfs.btrfs")
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, k, "btrfs")
			cfg.Files.Add(vmtest.HostBinary(t, mkfs))
			cfg.Env = append(cfg.Env, "MKFS_BTRFS="+mkfs)
			vmtest.RunPackage(t, cfg, "-test.run=^TestBtrfs$")
		})
	}
}
