//go:build !guest

package securityfs_test

import (
	"crypto"
	"crypto/x509"
	"os"
	"testing"

	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
	"github.com/ipe-linux/ipe/sign"
)

// texts are the policies that the guest's tests use, by the name of their file.
func texts() map[string]string {
	const deny = "DEFAULT action=DENY\nop=EXECUTE boot_verified=TRUE action=ALLOW\n"
	return map[string]string{
		"site-1.0.0": "policy_name=site policy_version=1.0.0\n" + deny,
		"site-1.1.0": "policy_name=site policy_version=1.1.0\n" + deny,
		"site-1.2.0": "policy_name=site policy_version=1.2.0\n" + deny,
		"other-1.1.0": "policy_name=other policy_version=1.1.0\nDEFAULT action=ALLOW\nDEFAULT op=EXECUTE action=DENY\n" +
			"op=EXECUTE dmverity_roothash=sha256:00ff action=ALLOW\nop=EXECUTE boot_verified=TRUE action=ALLOW\n" +
			"op=EXECUTE dmverity_roothash=sha256:00ff dmverity_signature=FALSE action=DENY\nop=EXECUTE fsverity_signature=FALSE action=DENY\n",
	}
}

// policies signs them with the key that the guest's kernel trusts, and one with
// another.
func policies(t *testing.T) vm.Files {
	t.Helper()
	cert, key := platformKey(t)
	files := vm.Files{}
	for name, text := range texts() {
		signed, err := sign.Content([]byte(text), cert, key, sign.Options{})
		if err != nil {
			t.Fatal(err)
		}
		files["/policies/"+name] = vm.File{Data: signed}
	}
	stranger := controltest.NewSigner(t, "stranger")
	files["/policies/stranger"] = vm.File{Data: stranger.Sign(t, "policy_name=stranger policy_version=1.0.0\nDEFAULT action=ALLOW\n")}
	return files
}

func platformKey(t *testing.T) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	certFile, keyFile, err := vm.PlatformKey(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	certs, err := sign.ParseCertificates(read(certFile))
	if err != nil {
		t.Fatal(err)
	}
	key, err := sign.ParseKey(read(keyFile), nil)
	if err != nil {
		t.Fatal(err)
	}
	return certs[0], key
}

func TestVMEngineOnKernels(t *testing.T) {
	t.Parallel()
	files := policies(t)
	for _, name := range []string{"6.12", "newest"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vmtest.RunPackage(t, vm.Config{Kernel: vmtest.Kernel(t, name), UEFI: true, Files: files}, "-test.run=^TestEngine")
		})
	}
}

// TestVMSilentKernel boots with auditing off: nothing can be recorded.
func TestVMSilentKernel(t *testing.T) {
	t.Parallel()
	vmtest.RunPackage(t, vm.Config{
		Kernel: vmtest.Kernel(t, "6.12"), UEFI: true, Files: policies(t), Append: []string{"audit=0"},
	}, "-test.run=^TestSilent")
}
