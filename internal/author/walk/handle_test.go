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
	h, err := in.Named(path).Open()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if h.Size != 7 || h.Mode != want || h.Links != 1 {
		t.Errorf("%d bytes, mode %v, %d names; want 7, %v, 1", h.Size, h.Mode, h.Links, want)
	}
	if st, err := in.stat(path); err != nil || st.Mode() != h.Mode {
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
		if same, err := Identify(path); err != nil || same != h.ID {
			t.Errorf("identified as %v, %v; opened as %v", same, err, h.ID)
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
		if _, err := (Place{}).Named(name).Open(); !errors.Is(err, ErrNotRegular) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (Place{}).Named(filepath.Join(dir, "absent")).Open(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}

// TestHandleAsFile: to close the file closes the handle, and once.
func TestHandleAsFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := Place{}.Named(name).Open()
	if err != nil {
		t.Fatal(err)
	}
	f := h.File()
	if f.Name() != name || int(f.Fd()) != h.FD() {
		t.Errorf("%s, number %d; want %s, %d", f.Name(), f.Fd(), name, h.FD())
	}
	h.Close()
	if _, err := f.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("it is open: %v", err)
	}
}
