//go:build guest

package fsioctl_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// largeSize is far more than what the kernel reads ahead of the first bytes of a file.
const largeSize = 8 << 20

// forget drops what is in memory of a file.
func forget(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
}

// resident returns how many bytes of a file are in memory.
func resident(t *testing.T, path string) (n int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, largeSize, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(m)
	pages := make([]byte, largeSize/os.Getpagesize())
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), largeSize, uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		t.Fatal(errno)
	}
	return bytes.Count(pages, []byte{1}) * os.Getpagesize()
}

// TestCommandReadsNoMore: a dry run reads nothing of a file, and for what the kernel has a
// digest of, none is computed. What would be read is in memory afterwards.
func TestCommandReadsNoMore(t *testing.T) {
	t.Chdir(ext4(t, 4096, 64, "verity"))
	put(t, "app/program", "\x7fELF"+strings.Repeat("program ", largeSize/8)[4:], 0o755)
	unread := func(most int, args ...string) string {
		t.Helper()
		forget(t, "app/program")
		out := done(t, args...)
		if n := resident(t, "app/program"); n > most {
			t.Errorf("ipe %v: read %d bytes, want %d at most", args, n, most)
		}
		return out
	}
	if out := unread(0, "fsverity", "enable", "--dry-run", "app"); out != "app/program: can be enabled\n" {
		t.Errorf("dry run: %s", out)
	}
	computed := done(t, "fsverity", "rules", "app")
	if n := resident(t, "app/program"); n != largeSize {
		t.Errorf("%d bytes are in memory after all were read", n)
	}
	done(t, "fsverity", "enable", "app")
	// The kernel reads ahead of the four bytes that say what it is.
	const ahead = largeSize / 8
	if out := unread(ahead, "fsverity", "rules", "app"); out != computed {
		t.Errorf("the kernel's: %scomputed: %s", out, computed)
	}
	unread(0, "fsverity", "rules", "--op=EXECUTE", "app")
	unread(0, "fsverity", "manifest", "app")
	unread(0, "fsverity", "enable", "app")
	// Another digest has to be computed.
	other := done(t, "fsverity", "rules", "--block-size=1024", "app")
	sum, _, _ := strings.Cut(done(t, "fsverity", "digest", "--block-size=1024", "app"), " ")
	if other == computed || !strings.Contains(other, sum) {
		t.Errorf("with other parameters: %s, not %s", other, sum)
	}
}

// TestCommandRulesOfOthers: without parameters, rules name the digest that the file has,
// whatever it was enabled with.
func TestCommandRulesOfOthers(t *testing.T) {
	app(t)
	run(t, "fsverity", "enable", "app/bin/run", "--hash-alg=sha512", "--salt=aa")
	sum, _, _ := strings.Cut(run(t, "fsverity", "measure", "app/bin/run"), " ")
	if out := done(t, "fsverity", "rules", "app/bin/run"); !strings.Contains(out, "fsverity_digest="+sum) {
		t.Errorf("%s, want %s", out, sum)
	}
	if out := done(t, "fsverity", "rules", "--hash-alg=sha256", "app/bin/run"); !strings.Contains(out, "fsverity_digest=sha256:") {
		t.Error(out)
	}
}

// TestCommandSignsTrees: kernels take the signatures, with the certificate in them and
// without.
func TestCommandSignsTrees(t *testing.T) {
	app(t)
	ours := newSigner(t, "trees")
	ours.trust(t)
	key, err := x509.MarshalPKCS8PrivateKey(ours.key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, "signer", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))+
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ours.cert.Raw})), 0o600)
	done(t, "fsverity", "sign", "--key", "signer", "--include-cert", "--glob=x.so", "--signatures", "sigs", "app")
	done(t, "fsverity", "sign", "--key", "signer", "--glob=run", "--glob=also", "--signatures", "sigs", "app")
	if out := done(t, "fsverity", "enable", "--signatures", "sigs", "--glob=x.so", "--glob=run", "--glob=also", "app"); !strings.HasSuffix(out, "\n3 files enabled, 0 already\n") {
		t.Error(out)
	}
	done(t, "fsverity", "sign", "--key", "signer", "app/notes")
	run(t, "fsverity", "enable", "app/notes", "--signature=app/notes.p7s")
}
