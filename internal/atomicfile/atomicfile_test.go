package atomicfile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipe-linux/ipe/internal/atomicfile"
	"github.com/ipe-linux/ipe/internal/control/store/storetest"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, data := range []string{"one", "", "three"} {
		if err := atomicfile.Write(atomicfile.OS{}, path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != data {
			t.Errorf("got %q, want %q", got, data)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
}

// TestErrorsNameTheFile: not the one that is written aside, of which the user has not heard.
func TestErrorsNameTheFile(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "none", "f"): "make a file beside it: no such file or directory",
		dir:                             "file exists",
	} {
		err := atomicfile.Write(atomicfile.OS{}, path, nil, 0o600)
		if want = "write " + path + ": " + want; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestMkdir(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d")
	if err := atomicfile.Mkdir(atomicfile.OS{}, path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Mkdir(atomicfile.OS{}, path, 0o700); !errors.Is(err, fs.ErrExist) {
		t.Errorf("made twice: %v", err)
	}
}

// TestFailAtEachStep: an error without ErrUnsynced means the old content, one
// with it means the new; nothing is left lying about.
func TestFailAtEachStep(t *testing.T) {
	for step := 1; ; step++ {
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		disk := storetest.FailAt(step)
		err := atomicfile.Write(disk, path, []byte("new"), 0o600)
		want := "new"
		if err != nil && !errors.Is(err, atomicfile.ErrUnsynced) {
			want = "old"
		}
		if got := read(t, path); got != want {
			t.Errorf("step %d: %q after %v", step, got, err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("step %d: left %v", step, entries)
		}
		if err == nil {
			if step < 6 {
				t.Errorf("only %d steps", step-1)
			}
			return
		}
		if !errors.Is(err, storetest.ErrFault) {
			t.Errorf("step %d: cause is lost in %v", step, err)
		}
	}
}

// TestCrashAtEachStep: whatever the disk kept, the content is whole, and it is
// the new one once Write has returned.
func TestCrashAtEachStep(t *testing.T) {
	for _, keep := range []storetest.Keep{storetest.KeepNothing, storetest.KeepNames, storetest.KeepAll} {
		for step, done := 1, false; !done; step++ {
			path := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			disk := storetest.CrashAt(step)
			done = atomicfile.Write(disk, path, []byte("new"), 0o600) == nil
			disk.PowerCut(t, keep)
			if got := read(t, path); got != "new" && (done || got != "old") {
				t.Errorf("%v, step %d: %q", keep, step, got)
			}
		}
	}
}

func TestErrorNamesFile(t *testing.T) {
	err := atomicfile.Write(atomicfile.OS{}, "/nonexistent/f", nil, 0o600)
	if !errors.Is(err, fs.ErrNotExist) || fmt.Sprint(err)[:22] != "write /nonexistent/f: " {
		t.Errorf("got %v", err)
	}
}

func TestIsTemp(t *testing.T) {
	disk := storetest.CrashAt(4)
	dir := t.TempDir()
	if atomicfile.Write(disk, filepath.Join(dir, "f"), []byte("new"), 0o600) == nil {
		t.Fatal("no crash")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || !atomicfile.IsTemp(entries[0].Name()) {
		t.Errorf("left %v, %v", entries, err)
	}
}
