//go:build !guest

package daemon

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

// TestVMServiceOnKernels has Debian's systemd run iped, by the unit that is installed.
func TestVMServiceOnKernels(t *testing.T) {
	t.Parallel()
	files := programs(t)
	signed := deployment(t, files)
	files["/etc/ipe/trust.d/owner.der"] = files["/etc/ipe/trust/owner.der"]
	files["/usr/sbin/iped"], files["/usr/bin/ipe"] = files["/bin/iped"], files["/bin/ipe"]
	files["/site.p7b"] = vm.File{Data: signed(policyText("site", "1.0.0")+"op=EXECUTE fsverity_signature=TRUE action=ALLOW\n", false)}
	files["/lib/systemd/system/iped.service"] = vm.File{Host: filepath.Join("..", "..", "init", "iped.service")}
	files["/etc/systemd/system/iped.service.d/log.conf"] = vm.File{Data: []byte("[Service]\nStandardOutput=null\nStandardError=append:/run/iped.log\n" +
		"ExecStart=\nExecStart=/usr/sbin/iped --trust /etc/ipe/trust.d --fs /run/ipe/tree --audit journal --audit netlink --audit file:/var/log/ipe/records $IPED_FLAGS\n")}
	files["/etc/ipe/iped.conf"] = vm.File{Host: filepath.Join("..", "..", "init", "iped.conf")}
	for _, unit := range []string{"sysinit", "basic", "multi-user", "shutdown", "umount"} {
		path := "/lib/systemd/system/" + unit + ".target"
		files[path] = vm.File{Host: path}
	}
	files["/etc/systemd/system/default.target"] = files["/lib/systemd/system/multi-user.target"]
	files.Add(vmtest.HostBinary(t, "/lib/systemd/systemd", "systemctl", "fsverity"))
	for _, k := range vmtest.Some(t, "6.1", "newest") {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			files := maps.Clone(files)
			disk := signedFile(t, files)
			vmtest.RunPackage(t, vm.Config{
				Kernel: k, Files: files, Modules: []string{"fuse"}, Disks: []vm.Disk{{Path: disk}},
				Init: []string{"/lib/systemd/systemd", "--show-status=no", "--log-target=kmsg"},
			}, "-test.run=^TestService")
		})
	}
}

// signedFile makes a file system with a program, and gives the guest the program's
// signature and the signer.
func signedFile(t *testing.T, files vm.Files) (disk string) {
	t.Helper()
	dir := t.TempDir()
	tool := func(name string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(at("tree"), 0o755); err != nil {
		t.Fatal(err)
	}
	// A program that, if it may be executed, ends in ENOENT.
	if err := os.WriteFile(at("tree/signed"), []byte("#!/no-such-interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	tool("openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=files", "-keyout", at("key"), "-out", at("cert"))
	tool("openssl", "x509", "-in", at("cert"), "-outform", "der", "-out", at("cert.der"))
	tool("fsverity", "sign", at("tree/signed"), at("p7s"), "--key="+at("key"), "--cert="+at("cert"))
	tool("mkfs.ext4", "-q", "-b", "4096", "-O", "verity", "-d", at("tree"), at("disk"), "16M")
	files["/cert.der"], files["/signed.p7s"] = vm.File{Host: at("cert.der")}, vm.File{Host: at("p7s")}
	return at("disk")
}
