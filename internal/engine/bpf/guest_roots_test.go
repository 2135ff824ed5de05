//go:build guest

package bpf_test

import (
	"errors"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/digest"
)

// TestEngineSignedRoots: a volume that the kernel was given no signature for counts as
// signed while the caller vouches for its root hash, and no other does.
func TestEngineSignedRoots(t *testing.T) {
	mountAll(t)
	const dir = "/sys/fs/bpf/roots"
	e := openAt(t, dir)
	activate(t, e, enforcing, "DEFAULT action=ALLOW", "op=EXECUTE dmverity_signature=FALSE dmverity_roothash="+
		rootHash(t, "ROOT_HASH").String()+" action=DENY", "op=EXECUTE dmverity_signature=FALSE dmverity_roothash="+
		rootHash(t, "OTHER_HASH").String()+" action=DENY")
	one, other := rootHash(t, "ROOT_HASH"), rootHash(t, "OTHER_HASH")
	count := func() int {
		s, err := e.State()
		if err != nil {
			t.Fatal(err)
		}
		return s.SignedRoots
	}
	try := func(when string, volume, otherVolume error, roots int) {
		t.Helper()
		for path, want := range map[string]error{"/volume/probe": volume, "/other/probe": otherVolume} {
			for _, a := range fileActions(path) {
				if err := a.try(); !errors.Is(err, want) {
					t.Errorf("%s: %s of %s: %v, want %v", when, a.name, path, err, want)
				}
			}
		}
		if n := count(); n != roots {
			t.Errorf("%s: %d root hashes, want %d", when, n, roots)
		}
	}
	set := func(roots ...digest.Digest) {
		t.Helper()
		if err := e.SetSignedRoots(roots); err != nil {
			t.Fatal(err)
		}
	}
	try("at first", unix.EACCES, unix.EACCES, 0)
	set(one)
	try("the one", nil, unix.EACCES, 1)
	set(one, other)
	try("both", nil, nil, 2)
	set(other)
	try("the other", unix.EACCES, nil, 1)
	set(digest.New("sha512", one.Bytes()), digest.New("sha256", one.Bytes()[:31]), digest.New("sha256", append(one.Bytes(), 0)))
	try("almost", unix.EACCES, unix.EACCES, 3)
	var many []digest.Digest
	for i := range 3000 {
		many = append(many, digest.New("sha256", append(one.Bytes()[:28:28], strconv.Itoa(1000+i)...)))
	}
	set(append(many, other)...)
	try("many", unix.EACCES, nil, 3001)
	set(other)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openAt(t, dir)
	defer os.RemoveAll(dir)
	defer e.Close()
	try("after a restart", unix.EACCES, nil, 1)
	set()
	try("none any longer", unix.EACCES, unix.EACCES, 0)
}
