//go:build soak && !guest

package soak

import (
	"context"
	"maps"
	"os"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

// TestVMSoakPrograms runs the table. IPE_VM_KERNEL chooses one kernel.
func TestVMSoakPrograms(t *testing.T) {
	volume := sealed(t, Seal)
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			vmtest.RunPackage(t, guest(k, volume), "-test.run=^TestPrograms$")
		})
	}
}

// TestVMSoakUnits runs programs of the table in a unit of systemd.
func TestVMSoakUnits(t *testing.T) {
	volume := sealed(t, Seal)
	files := vmtest.HostBinary(t, "/lib/systemd/systemd", "systemctl")
	for _, target := range []string{"sysinit", "basic", "multi-user", "shutdown", "umount"} {
		path := "/lib/systemd/system/" + target + ".target"
		files[path] = vm.File{Host: path}
	}
	files["/etc/systemd/system/default.target"] = files["/lib/systemd/system/multi-user.target"]
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			cfg := guest(k, volume)
			cfg.Files, cfg.Init = maps.Clone(files), []string{"/lib/systemd/systemd", "--show-status=no", "--log-target=kmsg"}
			vmtest.RunPackage(t, cfg, "-test.run=^TestUnits$")
		})
	}
}

// TestVMSoakRoot boots a whole Debian from a sealed volume, under the strict profile.
func TestVMSoakRoot(t *testing.T) {
	volume := sealed(t, SealRoot)
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			cfg := guest(k, volume)
			cfg.Modules = append(cfg.Modules, "overlay")
			cfg.Files = vm.Files{RootHashFile: {Data: []byte(volume.Root.String())}}
			cfg.Init = []string{vmtest.Program}
			vmtest.RunPackage(t, cfg, "-test.run=^TestRoot$")
		})
	}
}

func sealed(t *testing.T, seal func(ctx context.Context, dir string) (Volume, error)) Volume {
	t.Helper()
	v, err := seal(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// guest is a machine with the volume, which tells at once how far it is.
func guest(k debian.Kernel, v Volume) vm.Config {
	return vm.Config{
		Kernel: k, Modules: []string{"dm-verity", "squashfs"}, MemoryMiB: 2048,
		Disks:   []vm.Disk{{Path: v.Data, ReadOnly: true}, {Path: v.Hashes, ReadOnly: true}},
		Env:     []string{"ROOT_HASH=" + v.Root.String()},
		Timeout: time.Hour, Output: os.Stderr,
	}
}
