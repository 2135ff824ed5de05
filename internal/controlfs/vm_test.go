//go:build !guest

package controlfs_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ipe-linux/ipe/internal/testvm"
	"github.com/ipe-linux/ipe/internal/testvm/vmtest"
)

// TestAsTheKernel: a shell script writes the same transcript about the tree of a
// kernel's own IPE and about ours, also on a kernel without IPE.
func TestAsTheKernel(t *testing.T) {
	cfg := testvm.Config{Files: blobs(t), Modules: []string{"fuse"}}
	t.Run("6.12", func(t *testing.T) {
		cfg := cfg
		cfg.Kernel, cfg.UEFI = vmtest.Kernel(t, "6.12"), true
		vmtest.RunPackage(t, cfg)
	})
	t.Run("6.1", func(t *testing.T) {
		cfg := cfg
		cfg.Kernel = vmtest.Kernel(t, "6.1")
		vmtest.RunPackage(t, cfg, "-test.run=^Test(TranscriptOfOurs|Hung|Killed|WatchdogDies)$")
	})
}

// blobs are what the script writes, and the programs that it needs.
func blobs(t *testing.T) testvm.Files {
	t.Helper()
	cert, key, err := testvm.PlatformKey(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	files := vmtest.HostBinary(t, "sh", "cat", "find", "sort", "mkdir", "rm", "mv", "ln", "cmp", "sleep")
	files["/blobs/cert.pem"] = testvm.File{Data: pem}
	add := func(name string, data []byte) { files["/blobs/"+name] = testvm.File{Data: data} }
	for _, p := range []struct{ file, name, version string }{
		{"site-1", "site", "1.0.0"}, {"site-2", "site", "2.0.0"}, {"other-1", "other", "1.0.0"}, {"other-3", "other", "3.0.0"},
		{"slash", "a/b", "1.0.0"}, {"dots", "..", "1.0.0"},
	} {
		add(p.file, openssl(t, cert, key, p.name, p.version))
	}
	tampered := bytes.Replace(openssl(t, cert, key, "site", "1.0.0"), []byte("action=ALLOW"), []byte("action=DENYY"), 1)
	add("tampered", tampered)
	add("unsigned", []byte("policy_name=x policy_version=1.0.0\nDEFAULT action=ALLOW\n"))
	add("long", make([]byte, 65536))
	add("bad-version", openssl(t, cert, key, "x", "1.0.70000"))
	strangerCert, strangerKey := stranger(t)
	add("stranger", openssl(t, strangerCert, strangerKey, "x", "1.0.0"))
	return files
}

// openssl signs a policy that allows everything.
func openssl(t *testing.T, cert, key, name, version string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", "smime", "-sign", "-signer", cert, "-inkey", key,
		"-binary", "-noattr", "-nodetach", "-nosmimecap", "-outform", "der")
	cmd.Stdin = bytes.NewReader(fmt.Appendf(nil, "policy_name=%s policy_version=%s\nDEFAULT action=ALLOW\n", name, version))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl: %v", err)
	}
	return out
}

func stranger(t *testing.T) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	out, err := exec.CommandContext(t.Context(), "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=stranger",
		"-keyout", key, "-out", cert).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	return cert, key
}
