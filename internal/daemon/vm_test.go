//go:build !guest

package daemon

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
	"github.com/ipe-linux/ipe/sign"
)

// maxBinary bounds each program: it travels in initramfs images.
const maxBinary = 16 << 20

// TestVMDaemonOnKernels runs the programs as they are installed, on real kernels.
func TestVMDaemonOnKernels(t *testing.T) {
	t.Parallel()
	files := programs(t)
	sign := deployment(t, files)
	for name, action := range map[string]string{"open-1.0.0": "ALLOW", "open-2.0.0": "DENY", "closed-3.0.0": "DENY"} {
		policy, version, _ := strings.Cut(name, "-")
		text := "policy_name=" + policy + " policy_version=" + version + "\nDEFAULT action=" + action + "\n"
		files["/"+name+".p7b"] = vm.File{Data: sign(text, false)}
	}
	for _, k := range vmtest.Kernels(t) {
		tests := "-test.run=^Test(Installed|HungDaemon|Preflight)"
		if k.Name == "6.12" { // the state directory is none of the kernel's business
			tests = "-test.run=^Test(Installed|HungDaemon|Preflight|Damaged)"
		}
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			vmtest.RunPackage(t, vm.Config{Kernel: k, Files: files, Modules: []string{"dm-verity", "fuse"}, Env: []string{"ENGINE=bpf"},
				Timeout: 10 * time.Minute}, tests)
		})
	}
}

// TestVMDaemonOnOneKernel is about what no kernel does differently.
func TestVMDaemonOnOneKernel(t *testing.T) {
	t.Parallel()
	files := programs(t)
	deployment(t, files)
	files.Add(vmtest.HostBinary(t, "/lib/systemd/systemd-journald", "journalctl"))
	vmtest.RunPackage(t, vm.Config{Kernel: vmtest.Kernel(t, "6.12"), Files: files, Modules: []string{"fuse"}, Timeout: 10 * time.Minute},
		"-test.run=^Test(Journal|PinsRemoved)")
}

// TestVMDaemonOnKernelsOwn runs them where the kernel has IPE itself and trusts the
// signer: the same life, and what only that kernel can do.
func TestVMDaemonOnKernelsOwn(t *testing.T) {
	t.Parallel()
	files := platformDeployment(t)
	for _, name := range []string{"6.12", "newest"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vmtest.RunPackage(t, vm.Config{
				Kernel: vmtest.Kernel(t, name), UEFI: true, Files: files, Modules: []string{"dm-verity", "fuse"},
				Env: []string{"ENGINE=securityfs"}, Timeout: 10 * time.Minute,
			}, "-test.run=^(TestInstalled|TestOwn)")
		})
	}
}

// TestVMDaemonRebootsKernelsOwn boots three times with the same state: the last time on
// a machine whose firmware vouches for nobody.
func TestVMDaemonRebootsKernelsOwn(t *testing.T) {
	t.Parallel()
	files := platformDeployment(t)
	disk := filepath.Join(t.TempDir(), "state.img")
	if out, err := exec.CommandContext(t.Context(), "mkfs.ext4", "-q", disk, "32M").CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v\n%s", err, out)
	}
	for _, boot := range []string{"First", "Second", "Third"} {
		t.Run(boot, func(t *testing.T) {
			vmtest.RunPackage(t, vm.Config{
				Kernel: vmtest.Kernel(t, "6.12"), UEFI: boot != "Third", Files: files, Modules: []string{"virtio_blk", "fuse"},
				Disks: []vm.Disk{{Path: disk}}, Env: []string{"ENGINE=securityfs"},
			}, "-test.run=^TestReboot"+boot+"$")
		})
	}
}

// TestVMDaemonAtBoot: what a machine brings along, command line, policies in directories
// and a boot policy.
func TestVMDaemonAtBoot(t *testing.T) {
	t.Parallel()
	files := programs(t)
	deployment(t, files)
	files["/etc/ipe/site.p7b"] = files["/site-1.0.0.p7b"]
	files["/usr/lib/ipe/site.p7b"] = files["/site-1.1.0.p7b"]
	files["/usr/lib/ipe/broken.p7b"] = vm.File{Data: []byte("no message")}
	files["/slash.pol"] = vm.File{Data: []byte(policyText("a/b", "0.0.1"))}
	files["/site.pol"] = vm.File{Data: []byte(policyText("site", "0.0.1") + "\x00and more")}
	// Newer kernels do not let ftrace be switched off, and are as 6.12 otherwise.
	for _, k := range vmtest.Some(t, "6.1", "6.12") {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			vmtest.RunPackage(t, vm.Config{Kernel: k, Files: files, Modules: []string{"fuse"}, Env: []string{"KERNEL_NAME=" + k.Name},
				Append: []string{"sysctl.kernel.ftrace_enabled=0", "ipe.enforce=0", "ipe.success-audit", "ipe.enforce=maybe", "--", "ipe.enforce=1"}}, "-test.run=^TestBooted")
		})
	}
}

// TestVMDaemonTrustsKernel: policies signed by the key that the firmware vouches for.
func TestVMDaemonTrustsKernel(t *testing.T) {
	t.Parallel()
	files := programs(t)
	deployment(t, files)
	cert, key, err := vm.PlatformKey(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	signed := opensslSign(t, cert, key, policyText("platform", "1.0.0"))
	files["/platform-1.0.0.p7b"] = vm.File{Data: signed}
	files["/changed.p7b"] = vm.File{Data: bytes.Replace(signed, []byte("DENY"), []byte("DENX"), 1)}
	files["/stranger.p7b"] = vm.File{Data: strangerSigns(t, policyText("platform", "1.0.0"))}
	for _, k := range vmtest.Some(t, "6.1", "newest") {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			vmtest.RunPackage(t, vm.Config{Kernel: k, UEFI: true, Files: files, Modules: []string{"fuse"}}, "-test.run=^TestTrustOfKernel")
		})
	}
}

// strangerSigns signs with a fresh RSA key, which any kernel can check.
func strangerSigns(t *testing.T, text string) []byte {
	t.Helper()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	out, err := exec.CommandContext(t.Context(), "openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=stranger",
		"-keyout", key, "-out", cert).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return opensslSign(t, cert, key, text)
}

func opensslSign(t *testing.T, cert, key, text string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", "smime", "-sign", "-signer", cert, "-inkey", key,
		"-binary", "-noattr", "-nodetach", "-nosmimecap", "-outform", "der")
	cmd.Stdin = strings.NewReader(text)
	signed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// TestVMDaemonRecords: where records go, and on one kernel, what a storm of them does:
// IPE_STORM_SECONDS=600 go test -run TestVMDaemonRecords/6.12 -timeout 1h . makes it longer.
func TestVMDaemonRecords(t *testing.T) {
	t.Parallel()
	files := programs(t)
	deployment(t, files)
	storm, err := time.ParseDuration(cmp.Or(os.Getenv("IPE_STORM_SECONDS"), "3") + "s")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range vmtest.Some(t, "6.12") {
		run := "-test.run=^TestRecorded$"
		if k.Name == "6.12" {
			run = "-test.run=^TestRecorded"
		}
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			vmtest.RunPackage(t, vm.Config{Kernel: k, Files: files, Modules: []string{"fuse"}, Env: []string{"STORM=" + storm.String()},
				Timeout: vm.DefaultTimeout + 2*storm}, run)
		})
	}
}

// TestVMDaemonRefusesKernel: where the programs would never be called, iped says so
// and what to add.
func TestVMDaemonRefusesKernel(t *testing.T) {
	t.Parallel()
	files := programs(t)
	vmtest.RunPackage(t, vm.Config{
		Kernel: vmtest.Kernel(t, "6.12"), Files: files, Append: []string{"lsm=capability,yama"},
	}, "-test.run=^TestRefused")
}

// TestVMDaemonLockedDown: a kernel that has everything, and does not let programs use it.
func TestVMDaemonLockedDown(t *testing.T) {
	t.Parallel()
	files := programs(t)
	deployment(t, files)
	files["/stranger.p7b"] = vm.File{Data: strangerSigns(t, policyText("platform", "1.0.0"))}
	for _, kernel := range []string{"6.1", "6.12"} {
		t.Run(kernel, func(t *testing.T) {
			t.Parallel()
			vmtest.RunPackage(t, vm.Config{
				Kernel: vmtest.Kernel(t, kernel), Files: files, Append: []string{"lockdown=confidentiality"},
			}, "-test.run=^TestLockedDown$")
		})
	}
	t.Run("later", func(t *testing.T) {
		t.Parallel()
		vmtest.RunPackage(t, vm.Config{
			Kernel: vmtest.Kernel(t, "6.12"), Files: files, Modules: []string{"fuse"},
		}, "-test.run=^TestLockedDownLater$")
	})
}

// programs builds ipe and iped as make build does.
func programs(t testing.TB) vm.Files {
	t.Helper()
	files, err := builtPrograms()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range files {
		if len(f.Data) > maxBinary {
			t.Errorf("%s has %d bytes, at most %d", name, len(f.Data), maxBinary)
		}
		t.Logf("%s: %.1f MiB", name, float64(len(f.Data))/(1<<20))
	}
	return maps.Clone(files)
}

// builtPrograms builds them once for all tests.
var builtPrograms = sync.OnceValues(func() (vm.Files, error) {
	dir, err := os.MkdirTemp("", "programs-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	files := vm.Files{}
	for _, name := range []string{"ipe", "iped"} {
		out := filepath.Join(dir, name)
		if err := vm.GoCommand(context.Background(), "build", "-trimpath", "-ldflags=-s -w -buildid=", "-o", out, "github.com/ipe-linux/ipe/cmd/"+name); err != nil {
			return nil, err
		}
		data, err := os.ReadFile(out)
		if err != nil {
			return nil, err
		}
		files["/bin/"+name] = vm.File{Data: data, Mode: 0o755}
	}
	return files, nil
})

// deployment signs policies with a fresh key that the guest's iped trusts; what it
// returns signs more.
func deployment(t testing.TB, files vm.Files) func(text string, detached bool) []byte {
	t.Helper()
	cert, key := newOwner(t)
	deploy(t, files, cert, key)
	return func(text string, detached bool) []byte {
		signed, err := sign.Content([]byte(text), cert, key, sign.Options{Detached: detached})
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
}

// newOwner makes who signs.
func newOwner(t testing.TB) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "owner"}, SubjectKeyId: []byte{1, 2, 3},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// platformDeployment is programs and policies signed with the key that the guest's
// kernel trusts itself, and one with another.
func platformDeployment(t *testing.T) vm.Files {
	t.Helper()
	certFile, keyFile, err := vm.PlatformKey(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	certText, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	keyText, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := sign.ParseCertificates(certText)
	if err != nil {
		t.Fatal(err)
	}
	key, err := sign.ParseKey(keyText, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := programs(t)
	deploy(t, files, certs[0], key)
	files["/stranger.p7b"] = vm.File{Data: controltest.NewSigner(t, "stranger").Sign(t, policyText("stranger", "1.0.0"))}
	return files
}

// deploy signs policies, and has the guest's iped trust the signer.
func deploy(t testing.TB, files vm.Files, cert *x509.Certificate, key crypto.Signer) {
	t.Helper()
	files["/etc/ipe/trust/owner.der"] = vm.File{Data: cert.Raw}
	for _, p := range []struct{ name, version string }{{"site", "1.0.0"}, {"site", "1.1.0"}, {"other", "2.0.0"}} {
		signed, err := sign.Content([]byte(policyText(p.name, p.version)), cert, key, sign.Options{})
		if err != nil {
			t.Fatal(err)
		}
		files["/"+p.name+"-"+p.version+".p7b"] = vm.File{Data: signed}
	}
}

// policyText trusts the initramfs alone.
func policyText(name, version string) string {
	return "policy_name=" + name + " policy_version=" + version + "\nDEFAULT action=DENY\nop=EXECUTE boot_verified=TRUE action=ALLOW\n"
}
