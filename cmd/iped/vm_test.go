//go:build !guest

package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/testvm"
	"github.com/ipe-linux/ipe/internal/testvm/vmtest"
	"github.com/ipe-linux/ipe/sign"
)

// maxBinary bounds each program: it travels in initramfs images.
const maxBinary = 16 << 20

// TestDaemonOnKernels runs the programs as they are installed, on real kernels.
func TestDaemonOnKernels(t *testing.T) {
	files := programs(t)
	deployment(t, files)
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			vmtest.RunPackage(t, testvm.Config{Kernel: k, Files: files, Modules: []string{"dm-verity", "fuse"}, Env: []string{"ENGINE=bpf"}},
				"-test.run=^Test(Installed|HungDaemon)")
		})
	}
}

// TestDaemonOnKernelsOwn runs them where the kernel has IPE itself and trusts the
// signer: the same life, and what only that kernel can do.
func TestDaemonOnKernelsOwn(t *testing.T) {
	files := platformDeployment(t)
	for _, name := range []string{"6.12", "newest"} {
		t.Run(name, func(t *testing.T) {
			vmtest.RunPackage(t, testvm.Config{
				Kernel: vmtest.Kernel(t, name), UEFI: true, Files: files, Modules: []string{"dm-verity", "fuse"},
				Env: []string{"ENGINE=securityfs"}, Timeout: 10 * time.Minute,
			}, "-test.run=^(TestInstalled|TestOwn)")
		})
	}
}

// TestDaemonRebootsKernelsOwn boots three times with the same state: the last time on
// a machine whose firmware vouches for nobody.
func TestDaemonRebootsKernelsOwn(t *testing.T) {
	files := platformDeployment(t)
	disk := filepath.Join(t.TempDir(), "state.img")
	if out, err := exec.CommandContext(t.Context(), "mkfs.ext4", "-q", disk, "32M").CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v\n%s", err, out)
	}
	for _, boot := range []string{"First", "Second", "Third"} {
		t.Run(boot, func(t *testing.T) {
			vmtest.RunPackage(t, testvm.Config{
				Kernel: vmtest.Kernel(t, "6.12"), UEFI: boot != "Third", Files: files, Modules: []string{"virtio_blk", "fuse"},
				Disks: []testvm.Disk{{Path: disk}}, Env: []string{"ENGINE=securityfs"},
			}, "-test.run=^TestReboot"+boot+"$")
		})
	}
}

// TestDaemonAtBoot: what a machine brings along, command line, policies in directories
// and a boot policy.
func TestDaemonAtBoot(t *testing.T) {
	files := programs(t)
	deployment(t, files)
	files["/etc/ipe/site.p7b"] = files["/site-1.0.0.p7b"]
	files["/usr/lib/ipe/site.p7b"] = files["/site-1.1.0.p7b"]
	files["/usr/lib/ipe/broken.p7b"] = testvm.File{Data: []byte("no message")}
	files["/slash.pol"] = testvm.File{Data: []byte(policyText("a/b", "0.0.1"))}
	files["/site.pol"] = testvm.File{Data: []byte(policyText("site", "0.0.1") + "\x00and more")}
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			vmtest.RunPackage(t, testvm.Config{Kernel: k, Files: files, Modules: []string{"fuse"},
				Append: []string{"ipe.enforce=0", "ipe.success-audit", "ipe.enforce=maybe", "--", "ipe.enforce=1"}}, "-test.run=^TestBooted")
		})
	}
}

// TestDaemonTrustsKernel: policies signed by the key that the firmware vouches for.
func TestDaemonTrustsKernel(t *testing.T) {
	files := programs(t)
	deployment(t, files)
	cert, key, err := testvm.PlatformKey(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	signed := opensslSign(t, cert, key, policyText("platform", "1.0.0"))
	files["/platform-1.0.0.p7b"] = testvm.File{Data: signed}
	files["/changed.p7b"] = testvm.File{Data: bytes.Replace(signed, []byte("DENY"), []byte("DENX"), 1)}
	files["/stranger.p7b"] = testvm.File{Data: strangerSigns(t, policyText("platform", "1.0.0"))}
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			vmtest.RunPackage(t, testvm.Config{Kernel: k, UEFI: true, Files: files, Modules: []string{"fuse"}}, "-test.run=^TestTrustOfKernel")
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

// TestDaemonRecords: where records go.
func TestDaemonRecords(t *testing.T) {
	files := programs(t)
	deployment(t, files)
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			vmtest.RunPackage(t, testvm.Config{Kernel: k, Files: files, Modules: []string{"fuse"}}, "-test.run=^TestRecorded")
		})
	}
}

// TestDaemonRefusesKernel: where the programs would never be called, iped says so
// and what to add.
func TestDaemonRefusesKernel(t *testing.T) {
	files := programs(t)
	vmtest.RunPackage(t, testvm.Config{
		Kernel: vmtest.Kernel(t, "6.12"), Files: files, Append: []string{"lsm=capability,yama"},
	}, "-test.run=^TestRefused")
}

// programs builds ipe and iped as make build does.
func programs(t *testing.T) testvm.Files {
	t.Helper()
	files := testvm.Files{}
	dir := t.TempDir()
	for _, name := range []string{"ipe", "iped"} {
		out := filepath.Join(dir, name)
		if err := testvm.GoCommand(t.Context(), "build", "-trimpath", "-ldflags=-s -w -buildid=", "-o", out, "github.com/ipe-linux/ipe/cmd/"+name); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(out)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > maxBinary {
			t.Errorf("%s has %d bytes, at most %d", name, info.Size(), maxBinary)
		}
		t.Logf("%s: %.1f MiB", name, float64(info.Size())/(1<<20))
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		files["/bin/"+name] = testvm.File{Data: data, Mode: 0o755}
	}
	return files
}

// deployment signs policies with a fresh key that the guest's iped trusts; what it
// returns signs more.
func deployment(t *testing.T, files testvm.Files) func(text string, detached bool) []byte {
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
	deploy(t, files, cert, key)
	return func(text string, detached bool) []byte {
		signed, err := sign.Content([]byte(text), cert, key, sign.Options{Detached: detached})
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
}

// platformDeployment is programs and policies signed with the key that the guest's
// kernel trusts itself, and one with another.
func platformDeployment(t *testing.T) testvm.Files {
	t.Helper()
	certFile, keyFile, err := testvm.PlatformKey(t.Context(), t.TempDir())
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
	files["/stranger.p7b"] = testvm.File{Data: controltest.NewSigner(t, "stranger").Sign(t, policyText("stranger", "1.0.0"))}
	return files
}

// deploy signs policies, and has the guest's iped trust the signer.
func deploy(t *testing.T, files testvm.Files, cert *x509.Certificate, key crypto.Signer) {
	t.Helper()
	files["/etc/ipe/trust/owner.der"] = testvm.File{Data: cert.Raw}
	for _, p := range []struct{ name, version string }{{"site", "1.0.0"}, {"site", "1.1.0"}, {"other", "2.0.0"}} {
		signed, err := sign.Content([]byte(policyText(p.name, p.version)), cert, key, sign.Options{})
		if err != nil {
			t.Fatal(err)
		}
		files["/"+p.name+"-"+p.version+".p7b"] = testvm.File{Data: signed}
	}
}

// policyText trusts the initramfs alone.
func policyText(name, version string) string {
	return "policy_name=" + name + " policy_version=" + version + "\nDEFAULT action=DENY\nop=EXECUTE boot_verified=TRUE action=ALLOW\n"
}
