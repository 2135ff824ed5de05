//go:build linux && !guest

package devmapper_test

import (
	"bytes"
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

// hashModules are the hash functions that kernels have as modules.
func hashModules(kernel string) []string {
	return map[string][]string{"6.1": {"sha512_generic", "sha3_generic"}, "newest": {"sha3"}}[kernel]
}

// config is a guest with all that the tests need.
func config(t *testing.T, k debian.Kernel) vm.Config {
	t.Helper()
	cert, key, err := vm.PlatformKey(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files := vmtest.HostBinary(t, "veritysetup")
	files["/keys/platform.pem"], files["/keys/platform.key"] = vm.File{Host: cert}, vm.File{Host: key}
	return vm.Config{
		Kernel: k, Files: files,
		Modules: append([]string{"dm-verity", "reed_solomon", "loop"}, hashModules(k.Name)...),
		Env: []string{
			"DM_SETS=" + cmp.Or(os.Getenv("IPE_DM_SETS"), "10"),
			"DM_SEED=" + cmp.Or(os.Getenv("IPE_DM_SEED"), strconv.FormatInt(time.Now().UnixNano(), 10)),
		},
		Timeout: 15 * time.Minute,
	}
}

// TestVMVolumesOnKernels opens volumes for real, next to veritysetup(8). More of them:
// IPE_DM_SETS=200 go test -run TestVMVolumesOnKernels -timeout 1h . IPE_DM_SEED repeats a run.
func TestVMVolumesOnKernels(t *testing.T) {
	t.Parallel()
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, k)
			// 6.1 takes signatures of root hashes by secondary keys only.
			cfg.UEFI, cfg.MOK = k.Name != "6.1", k.Name == "6.1"
			vmtest.RunPackage(t, cfg, "-test.run=^TestGuest")
		})
	}
}

// TestVMStopsOnKernels reads a bad block of a volume that stops the machine when that
// happens, and wants the guest to end so.
func TestVMStopsOnKernels(t *testing.T) {
	t.Parallel()
	for _, k := range vmtest.Kernels(t) {
		for what, last := range map[string]string{
			"Restart": "reboot: Restarting system", "Panic": "Kernel panic - not syncing: dm-verity device corrupted",
		} {
			t.Run(k.Name+"/"+what, func(t *testing.T) {
				t.Parallel()
				vmtest.SkipNarrowed(t, k)
				outcome, err := vmtest.Collect(t.Context(), config(t, k), "-test.run=^TestStop"+what+"$")
				if !errors.Is(err, vm.ErrNoStatus) {
					t.Fatalf("the guest has not stopped: %v", err)
				}
				if !bytes.Contains(outcome.Console, []byte(last)) {
					t.Errorf("the console does not say %q: %v", last, err)
				}
			})
		}
	}
}

// TestVMUdevOnKernels has udev run beside.
func TestVMUdevOnKernels(t *testing.T) {
	t.Parallel()
	dir, err := debian.Unpacked(t.Context(), debian.UdevTools()...)
	if err != nil {
		t.Fatal(err)
	}
	udevadm := filepath.Join(dir, "bin", "udevadm")
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, k)
			cfg.Files.Add(vmtest.HostBinary(t, udevadm, "dmsetup"))
			const rules = "/lib/udev/rules.d/"
			for _, name := range []string{"50-udev-default.rules", "60-block.rules", "60-persistent-storage.rules"} {
				cfg.Files[rules+name] = vm.File{Host: filepath.Join(dir, rules, name)}
			}
			for _, name := range []string{"55-dm.rules", "60-persistent-storage-dm.rules", "95-dm-notify.rules"} {
				cfg.Files[rules+name] = vm.File{Host: rules + name}
			}
			cfg.Files["/sbin/dmsetup"] = vm.File{Host: "/usr/sbin/dmsetup"}
			cfg.Env = append(cfg.Env, "UDEVADM="+udevadm)
			vmtest.RunPackage(t, cfg, "-test.run=^TestUdev$")
		})
	}
}

// TestVMDemanding has dm-verity take signed root hashes only.
func TestVMDemanding(t *testing.T) {
	t.Parallel()
	cfg := config(t, vmtest.Kernel(t, "6.12"))
	cfg.Modules[0] = "dm-verity require_signatures=1"
	vmtest.RunPackage(t, cfg, "-test.run=^TestUnsigned$")
}

// TestVMDirectOnKernels has files on a file system that can be read past the page cache.
func TestVMDirectOnKernels(t *testing.T) {
	t.Parallel()
	image := filepath.Join(t.TempDir(), "image")
	for _, args := range [][]string{{"truncate", "-s", "16M", image}, {"/sbin/mke2fs", "-q", "-t", "ext4", image}} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, k)
			cfg.Files.Add(vmtest.HostBinary(t, "mount"))
			cfg.Files["/image"] = vm.File{Host: image}
			vmtest.RunPackage(t, cfg, "-test.run=^TestDirect$")
		})
	}
}

// TestVMMissing has a kernel lack one thing after the other.
func TestVMMissing(t *testing.T) {
	t.Parallel()
	k := vmtest.Kernel(t, "6.12")
	for _, have := range []string{"", "dm-mod", "dm-verity"} {
		t.Run("with "+cmp.Or(have, "nothing"), func(t *testing.T) {
			t.Parallel()
			cfg := vm.Config{Kernel: k, Env: []string{"HAVE=" + have}}
			if have != "" {
				cfg.Modules = []string{have}
			}
			vmtest.RunPackage(t, cfg, "-test.run=^TestLacking$")
		})
	}
}
