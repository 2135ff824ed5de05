package atomicfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipe-linux/ipe/internal/atomicfile"
)

// TestBelow: what is a symbolic link is replaced and not followed, and none leads out.
func TestBelow(t *testing.T) {
	dir := t.TempDir()
	outside, inside := filepath.Join(dir, "outside"), filepath.Join(dir, "inside")
	if err := errors.Join(os.WriteFile(outside, []byte("old"), 0o600), os.Mkdir(inside, 0o700),
		os.Symlink(outside, filepath.Join(inside, "file")), os.Symlink(dir, filepath.Join(inside, "dir"))); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(inside)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	below := atomicfile.Below{Root: root}
	if err := errors.Join(atomicfile.Write(below, "file", []byte("new"), 0o600), atomicfile.Mkdir(below, "sub", 0o700),
		atomicfile.Write(below, "sub/file", []byte("new"), 0o600), atomicfile.Write(below, "gone", nil, 0o600), below.Remove("gone")); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(below, "dir/outside", []byte("new"), 0o600); err == nil {
		t.Error("a symbolic link led out")
	}
	for path, want := range map[string]string{outside: "old", filepath.Join(inside, "file"): "new", filepath.Join(inside, "sub/file"): "new", filepath.Join(inside, "gone"): ""} {
		if got := read(t, path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
