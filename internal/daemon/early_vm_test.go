//go:build !guest

package daemon

import (
	"bytes"
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
	"github.com/ipe-linux/ipe/policy"
)

// debianRoot is a root with the units of Debian that run before sysinit.target and their
// programs, iped among them with an active policy, and so many processes in its way.
func debianRoot(t *testing.T, hogs int) vm.Files {
	t.Helper()
	files := programs(t)
	signed := deployment(t, files)
	files["/etc/ipe/trust.d/owner.der"] = files["/etc/ipe/trust/owner.der"]
	files["/usr/sbin/iped"], files["/usr/bin/ipe"] = files["/bin/iped"], files["/bin/ipe"]
	addState(t, files, signed(policyText("site", "1.0.0"), false))
	udev, err := debian.Unpacked(t.Context(), debian.UdevTools()...)
	if err != nil {
		t.Fatal(err)
	}
	const units, wants = "/lib/systemd/system/", "/etc/systemd/system/sysinit.target.wants/"
	udevadm := filepath.Join(udev, "bin", "udevadm")
	files.Add(vmtest.HostBinary(t, "/lib/systemd/systemd", "systemctl", "sh", "cp", "mkdir", "cat", "systemd-tmpfiles", "systemd-sysusers",
		"/lib/systemd/systemd-journald", "/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-modules-load",
		"/lib/systemd/systemd-random-seed", "/lib/systemd/systemd-remount-fs", "/lib/systemd/systemd-shutdown", udevadm))
	files["/lib/systemd/systemd-udevd"] = vm.File{Host: udevadm}
	files["/usr/bin/udevadm"] = vm.File{Host: udevadm}
	early := []string{"systemd-journald.service", "systemd-modules-load.service", "systemd-random-seed.service", "systemd-sysctl.service",
		"systemd-sysusers.service", "systemd-tmpfiles-setup.service", "systemd-tmpfiles-setup-dev.service"}
	for _, unit := range append(early, "systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-remount-fs.service", "sysinit.target",
		"basic.target", "multi-user.target", "shutdown.target", "umount.target", "final.target", "poweroff.target", "local-fs.target",
		"local-fs-pre.target", "swap.target", "sockets.target", "timers.target", "paths.target", "slices.target", "emergency.target") {
		files[units+unit] = vm.File{Host: units + unit}
	}
	for _, unit := range []string{"systemd-udevd.service", "systemd-udev-trigger.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket"} {
		files[units+unit] = vm.File{Host: filepath.Join(udev, units, unit)}
	}
	for _, unit := range append(early, "systemd-udevd.service", "systemd-udev-trigger.service", "systemd-remount-fs.service", "hogs.service", "iped.service", "try.service") {
		files[wants+unit] = vm.File{Link: units + unit}
	}
	files["/etc/systemd/system/default.target"] = vm.File{Link: units + "multi-user.target"}
	files["/etc/modules-load.d/none.conf"] = vm.File{Data: []byte("# so that the unit runs\n")}
	files["/etc/fstab"] = vm.File{Data: []byte("proc /proc proc defaults 0 0\n")}
	files[units+"iped.service"] = vm.File{Host: filepath.Join("..", "..", "init", "iped.service")}
	files["/lib/systemd/system-generators/iped-order"] = vm.File{Host: filepath.Join("..", "..", "init", "iped-order"), Mode: 0o755}
	files["/etc/systemd/system/iped.service.d/test.conf"] = vm.File{Data: []byte(
		"[Service]\nStandardOutput=null\nStandardError=append:/run/iped.log\n")}
	files["/try"] = vm.File{Data: []byte("#!/bin/sh\necho ran\n"), Mode: 0o755}
	files[units+"hogs.service"] = vm.File{Data: []byte("[Unit]\nDefaultDependencies=no\nBefore=iped.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\n" +
		"ExecStart=/bin/sh -c 'cp /try /run/try; /run/try >/run/before; " +
		strings.Repeat("(while :; do :; done) & ", hogs) + "'\n")}
	files[units+"try.service"] = vm.File{Data: []byte("[Unit]\nDefaultDependencies=no\nAfter=sysinit.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\n" +
		"ExecStart=/bin/sh -c '/run/try >/run/after || echo denied >>/run/after'\n")}
	return files
}

// addState puts a state with an active policy where the service has it.
func addState(t *testing.T, files vm.Files, envelope []byte) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ipe")
	st, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	version, err := policy.ParseVersion("1.0.0")
	err = errors.Join(err, st.Put(store.Entry{Name: "site", Version: version, Envelope: envelope}), st.SetActive("site"))
	if err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(name)
		files["/var/lib/ipe/"+rel] = vm.File{Data: data, Mode: 0o600}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// bootDebian is how such a root is booted. IPE_BOOT_KERNEL chooses another kernel than
// 6.12: systemd is the same on all, so every run of the tests need not have each.
func bootDebian(t *testing.T, files vm.Files) vm.Config {
	t.Helper()
	return vm.Config{
		Kernel: vmtest.Kernel(t, cmp.Or(os.Getenv("IPE_BOOT_KERNEL"), "6.12")), Files: files, Modules: []string{"fuse"},
		Timeout: 4 * vm.DefaultTimeout,
		Init:    []string{"/lib/systemd/systemd", "--show-status=no", "--log-target=kmsg"},
	}
}

// TestVMGuardedBoot: before anything of the root file system runs, the kernel enforces,
// however slow the start is.
func TestVMGuardedBoot(t *testing.T) {
	t.Parallel()
	vmtest.RunPackage(t, bootDebian(t, debianRoot(t, 8)), "-test.run=^TestGuardedFromTheStart$")
}

// TestVMGuardedBootOwnVar: a state on a file system of its own needs udev before iped. What
// follows the file systems still comes after iped.
func TestVMGuardedBootOwnVar(t *testing.T) {
	t.Parallel()
	const units = "/lib/systemd/system/"
	files := debianRoot(t, 1)
	moved := vm.Files{}
	for name, f := range files {
		if rest, ok := strings.CutPrefix(name, "/var/lib/ipe/"); ok {
			moved["/seed/"+rest] = f
			delete(files, name)
		}
	}
	files.Add(moved)
	files.Add(vmtest.HostBinary(t, "mount", "/lib/systemd/system-generators/systemd-fstab-generator"))
	files["/etc/fstab"] = vm.File{Data: []byte("/dev/vda /var ext4 defaults 0 0\n")}
	files["/lib/udev/rules.d/99-systemd.rules"] = vm.File{Host: "/usr/lib/udev/rules.d/99-systemd.rules"}
	files[units+"seed.service"] = vm.File{Data: []byte("[Unit]\nDefaultDependencies=no\nRequiresMountsFor=/var/lib\nBefore=iped.service\n" +
		"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/mkdir -p /var/lib\nExecStart=/bin/cp -a /seed /var/lib/ipe\n")}
	files["/etc/systemd/system/sysinit.target.wants/seed.service"] = vm.File{Link: units + "seed.service"}
	disk := filepath.Join(t.TempDir(), "var")
	if out, err := exec.CommandContext(t.Context(), "mkfs.ext4", "-q", disk, "16M").CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v\n%s", err, out)
	}
	cfg := bootDebian(t, files)
	cfg.Disks, cfg.Env, cfg.Modules = []vm.Disk{{Path: disk}}, []string{"OWN_VAR=1"}, append(cfg.Modules, "virtio_blk", "ext4")
	vmtest.RunPackage(t, cfg, "-test.run=^TestGuardedFromTheStart$")
}

// TestVMUnguardedBoot: with the drop-in, a machine whose iped cannot enforce goes off
// before sysinit.target.
func TestVMUnguardedBoot(t *testing.T) {
	t.Parallel()
	files := debianRoot(t, 1)
	delete(files, "/etc/ipe/trust.d/owner.der")
	delete(files, "/lib/systemd/system/hogs.service")
	files["/etc/systemd/system/iped.service.d/required.conf"] = vm.File{Host: filepath.Join("..", "..", "init", "required.conf")}
	files["/etc/systemd/system/sysinit.target.requires/iped.service"] = vm.File{Link: "/lib/systemd/system/iped.service"}
	cfg := bootDebian(t, files)
	vmtest.SkipNarrowed(t, cfg.Kernel)
	outcome, err := vmtest.Collect(t.Context(), cfg, "-test.run=^TestNeverReached$")
	if !errors.Is(err, vm.ErrNoStatus) {
		t.Fatalf("the machine goes on: %v\n%s\n%s", err, outcome.Output, outcome.Console)
	}
	for _, want := range []string{"iped.service: Main process exited, code=exited, status=3", "Dependency failed for sysinit.target", "Power down"} {
		if !bytes.Contains(outcome.Console, []byte(want)) {
			t.Errorf("the console lacks %q:\n%s", want, outcome.Console)
		}
	}
	if bytes.Contains(outcome.Console, []byte("Reached target sysinit.target")) {
		t.Errorf("sysinit.target was reached:\n%s", outcome.Console)
	}
}

// TestDropInEnables: systemctl takes the drop-in for part of the unit.
func TestDropInEnables(t *testing.T) {
	root := t.TempDir()
	install := func(from, to string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join("..", "..", "init", from))
		err = errors.Join(err, os.MkdirAll(filepath.Dir(filepath.Join(root, to)), 0o755), os.WriteFile(filepath.Join(root, to), data, 0o644))
		if err != nil {
			t.Fatal(err)
		}
	}
	install("iped.service", "usr/lib/systemd/system/iped.service")
	install("required.conf", "etc/systemd/system/iped.service.d/required.conf")
	if out, err := exec.CommandContext(t.Context(), "systemctl", "--root="+root, "enable", "iped").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, kind := range []string{"wants", "requires"} {
		if _, err := os.Lstat(filepath.Join(root, "etc/systemd/system/sysinit.target."+kind, "iped.service")); err != nil {
			t.Error(err)
		}
	}
}

// TestOrder: the generator orders iped before udev where that does not keep the state
// from being mounted, and nowhere else.
func TestOrder(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		early bool
	}{
		"on the root":           {map[string]string{"var/lib/ipe/index": "", "etc/fstab": "# /var is on the root\nUUID=1 / ext4 defaults 0 1\n/dev/x /home ext4 defaults 0 2\n"}, true},
		"no fstab":              {map[string]string{"var/lib/ipe/index": ""}, true},
		"no state":              {map[string]string{"etc/fstab": ""}, false},
		"a /var of its own":     {map[string]string{"var/lib/ipe/index": "", "etc/fstab": "/dev/x\t/var/ ext4 defaults 0 2\n"}, false},
		"the last line is open": {map[string]string{"var/lib/ipe/index": "", "etc/fstab": "/dev/x /var/lib/ipe ext4 defaults 0 2"}, false},
		"logs of their own":     {map[string]string{"var/lib/ipe/index": "", "etc/fstab": "/dev/x /var/log ext4 defaults 0 2\n"}, false},
		"a mount unit":          {map[string]string{"var/lib/ipe/index": "", "etc/systemd/system/var.mount": ""}, false},
	} {
		t.Run(name, func(t *testing.T) {
			root, out := t.TempDir(), t.TempDir()
			for file, text := range tt.files {
				file = filepath.Join(root, file)
				if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), "sh", filepath.Join("..", "..", "init", "iped-order"), out, out, out)
			cmd.Env = append(os.Environ(), "IPED_ORDER_ROOT="+root)
			if text, err := cmd.CombinedOutput(); err != nil || len(text) > 0 {
				t.Fatalf("%v\n%s", err, text)
			}
			text, err := os.ReadFile(filepath.Join(out, "iped.service.d", "10-order.conf"))
			if early := err == nil && strings.Contains(string(text), "Before=systemd-udevd.service"); early != tt.early {
				t.Errorf("early %v: %q, %v", early, text, err)
			}
		})
	}
}
