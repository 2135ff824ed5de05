//go:build !guest

package fs_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

// TestVMAsTheKernel: shell scripts, system calls, writers at the same time and systemd's
// way to load policies have the same outcome on the tree of a kernel's own IPE and on
// ours, also on other kernels.
func TestVMAsTheKernel(t *testing.T) {
	t.Parallel()
	cfg := vm.Config{Files: blobs(t), Modules: []string{"fuse"}, Timeout: 6 * time.Minute}
	t.Run("6.12", func(t *testing.T) {
		t.Parallel()
		cfg := cfg
		cfg.Kernel, cfg.UEFI = vmtest.Kernel(t, "6.12"), true
		vmtest.RunPackage(t, cfg)
	})
	for _, name := range []string{"6.1", "newest"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := cfg
			cfg.Kernel = vmtest.Kernel(t, name)
			vmtest.RunPackage(t, cfg, "-test.run=^Test(TreeOfOurs|Hung|Killed|WatchdogDies)$")
		})
	}
}

// blobs are what the scripts write, the programs that they need, and their keys.
func blobs(t *testing.T) vm.Files {
	t.Helper()
	files := vmtest.HostBinary(t, "sh", "cat", "find", "sort", "mkdir", "rm", "mv", "ln", "cmp", "sleep", "openssl")
	dir := t.TempDir()
	keys(t, dir, files)
	messages(t, dir, files)
	owner, stranger := filepath.Join(dir, "owner"), filepath.Join(dir, "stranger")
	add := func(name string, data []byte) { files["/blobs/"+name] = vm.File{Data: data} }
	for _, p := range []struct{ file, name, version string }{
		{"site-1", "site", "1.0.0"}, {"site-2", "site", "2.0.0"}, {"other-1", "other", "1.0.0"}, {"other-3", "other", "3.0.0"},
		{"slash", "a/b", "1.0.0"}, {"dots", "..", "1.0.0"}, {"calls", "calls", "1.0.0"},
	} {
		add(p.file, openssl(t, owner, p.name, p.version))
	}
	tampered := bytes.Replace(openssl(t, owner, "site", "1.0.0"), []byte("action=ALLOW"), []byte("action=DENYY"), 1)
	add("tampered", tampered)
	add("unsigned", []byte("policy_name=x policy_version=1.0.0\nDEFAULT action=ALLOW\n"))
	add("long", make([]byte, 65536))
	add("word", []byte("1"))
	add("max", ofSize(t, owner, "max", 65535))
	add("over", ofSize(t, owner, "over", 65536))
	add("bad-version", openssl(t, owner, "x", "1.0.70000"))
	add("stranger", openssl(t, stranger, "x", "1.0.0"))
	return files
}

// messages are those that the script "accept" makes with the keys in dir. It makes them
// here, on what is no tree, because a guest takes 0.4 s for each.
func messages(t *testing.T, dir string, files vm.Files) {
	t.Helper()
	script, err := os.ReadFile("testdata/accept.sh")
	if err != nil {
		t.Fatal(err)
	}
	tree, made := t.TempDir(), t.TempDir()
	cmd := exec.CommandContext(t.Context(), "sh", "-s", tree, made)
	cmd.Env = append(os.Environ(), "OPENSSL_CONF=/dev/null")
	cmd.Stdin = strings.NewReader(strings.NewReplacer("/keys/", dir+"/", "/tmp/", t.TempDir()+"/").Replace(string(script)))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make messages: %v\n%s", err, out)
	}
	entries, err := os.ReadDir(made)
	if err != nil {
		t.Fatal(err)
	}
	// The script signs some fifty times; less would leave the rest to the guest.
	if len(entries) < 50 {
		t.Fatalf("%d messages were made:\n%s", len(entries), out)
	}
	for _, e := range entries {
		files["/messages/"+e.Name()] = vm.File{Host: filepath.Join(made, e.Name())}
	}
}

// openssl signs a policy that allows everything.
func openssl(t *testing.T, who, name, version string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", "smime", "-sign", "-signer", who+".pem", "-inkey", who+".key",
		"-binary", "-noattr", "-nodetach", "-nosmimecap", "-outform", "der")
	cmd.Stdin = bytes.NewReader(fmt.Appendf(nil, "policy_name=%s policy_version=%s\nDEFAULT action=ALLOW\n", name, version))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl: %v", err)
	}
	return out
}

// ofSize signs a policy with a comment that gives the message its size.
func ofSize(t *testing.T, who, name string, size int) []byte {
	t.Helper()
	comment := func(n int) string { return "1.0.0\n#" + strings.Repeat("x", n) }
	// The lengths of both messages take as many bytes, each of those above 32767.
	least := 60000
	rest := size - len(openssl(t, who, name, comment(least)))
	message := openssl(t, who, name, comment(least+rest))
	if len(message) != size {
		t.Fatalf("a message of %d bytes, want %d", len(message), size)
	}
	return message
}

// keys makes those of people, who.pem and who.key, in dir and for the guest. The owner
// is trusted, and vouches for the officer, who vouches for the clerk. Nobody vouches
// for the stranger.
func keys(t *testing.T, dir string, files vm.Files) {
	t.Helper()
	cert, key, err := vm.PlatformKey(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	run("cp", cert, "owner.pem")
	run("mv", key, "owner.key")
	run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=stranger", "-keyout", "stranger.key", "-out", "stranger.pem")
	for _, p := range [][2]string{{"officer", "owner"}, {"clerk", "officer"}} {
		who, by := p[0], p[1]
		run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN="+who, "-keyout", who+".key", "-out", who+".csr")
		run("openssl", "x509", "-req", "-in", who+".csr", "-CA", by+".pem", "-CAkey", by+".key", "-CAcreateserial", "-out", who+".pem")
	}
	for _, who := range []string{"owner", "stranger", "officer", "clerk"} {
		for _, ext := range []string{".pem", ".key"} {
			files["/keys/"+who+ext] = vm.File{Host: filepath.Join(dir, who+ext)}
		}
	}
}
