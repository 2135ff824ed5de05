//go:build !guest

package daemon

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

// TestVMDaemonSignsRootHashes: volumes that the kernel was given no signature for. Each is
// signed by somebody else: the owner, whose certificate iped has, the firmware's key,
// whom the kernel knows, and a stranger.
func TestVMDaemonSignsRootHashes(t *testing.T) {
	t.Parallel()
	files := programs(t)
	owner := deployment(t, files)
	files.Add(vmtest.HostBinary(t, "veritysetup", "mount"))
	dir := t.TempDir()
	cert, key, err := vm.PlatformKey(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	files["/platform.p7b"] = vm.File{Data: opensslSign(t, cert, key, signedOnly)}
	for name, sign := range map[string]func(hash string) []byte{
		"owner":    func(hash string) []byte { return owner(hash, true) },
		"platform": func(hash string) []byte { return opensslDetached(t, cert, key, hash) },
		"stranger": func(hash string) []byte { return strangerSigns(t, hash) },
	} {
		hash := volume(t, dir, name)
		files["/volumes/"+name+".roothash"] = vm.File{Data: []byte(hash + "\n")}
		files["/volumes/"+name+".roothash.p7s"] = vm.File{Data: sign(hash)}
		for _, ending := range []string{".img", ".hash"} {
			files["/images/"+name+ending] = vm.File{Host: filepath.Join(dir, name+ending)}
		}
	}
	// From 6.12 on, kernels take such signatures alike.
	for _, k := range vmtest.Some(t, "6.1", "6.12") {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			vmtest.RunPackage(t, vm.Config{Kernel: k, UEFI: true, Files: files, Modules: []string{"dm-verity", "loop", "squashfs", "fuse"}},
				"-test.run=^TestRootHashes")
		})
	}
}

// signedOnly trusts the initramfs and signed volumes.
const signedOnly = "policy_name=volumes policy_version=1.0.0\nDEFAULT action=DENY\n" +
	"op=EXECUTE boot_verified=TRUE action=ALLOW\nop=EXECUTE dmverity_signature=TRUE action=ALLOW\n"

// volume makes a sealed volume with a script in it, and returns its root hash.
func volume(t *testing.T, dir, name string) string {
	t.Helper()
	tree, img := filepath.Join(dir, name), filepath.Join(dir, name+".img")
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "probe"), []byte("#!/no-such-interpreter "+name+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	command(t, "mksquashfs", tree, img, "-quiet", "-no-progress", "-all-root")
	_, rest, _ := strings.Cut(command(t, "/usr/sbin/veritysetup", "format", img, filepath.Join(dir, name+".hash")), "Root hash:")
	return strings.Fields(rest)[0]
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func opensslDetached(t *testing.T, cert, key, text string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", "smime", "-sign", "-signer", cert, "-inkey", key,
		"-binary", "-noattr", "-nocerts", "-outform", "der")
	cmd.Stdin = strings.NewReader(text)
	signed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return signed
}
