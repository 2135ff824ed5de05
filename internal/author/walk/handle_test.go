package walk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHandle holds a handle against os.File.
func TestHandle(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := At(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, mode := range []fs.FileMode{0o644, 0o751 | fs.ModeSetuid, 0o755 | fs.ModeSetgid, 0o700 | fs.ModeSticky} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		for path, in := range map[string]Place{name: {}, "/file": root} {
			checkHandle(t, in, path, mode)
		}
	}
}

func checkHandle(t *testing.T, in Place, path string, want fs.FileMode) {
	t.Helper()
	h, err := in.Handle(path)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	size, mode, id, err := h.Stat()
	if err != nil || size != 7 || mode != want {
		t.Errorf("%d bytes, mode %v, %v; want 7, %v", size, mode, err, want)
	}
	if st, err := in.stat(path); err != nil || st.Mode() != mode {
		t.Errorf("os.Stat has %v, %v", st, err)
	}
	var buf [5]byte
	if n, err := h.ReadAt(buf[:], 2); n != 5 || err != nil || string(buf[:]) != "ntent" {
		t.Errorf("%d bytes %q, %v", n, buf, err)
	}
	if n, err := h.ReadAt(buf[:], 3); n != 4 || !errors.Is(err, io.EOF) {
		t.Errorf("over the end: %d bytes, %v", n, err)
	}
	if in.below == nil {
		if same, err := Identify(path); err != nil || same != id {
			t.Errorf("identified as %v, %v; opened as %v", same, err, id)
		}
	}
}

// TestHandleOfOthers: what is no regular file is opened without waiting, and told apart.
func TestHandleOfOthers(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, pipe, "/dev/null"} {
		h, err := Place{}.Handle(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, mode, _, err := h.Stat(); err != nil || mode.IsRegular() {
			t.Errorf("%s: %v, %v", name, mode, err)
		}
		h.Close()
	}
	if _, err := (Place{}).Handle(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}
