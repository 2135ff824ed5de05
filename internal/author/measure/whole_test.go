package measure

import (
	"os"
	"path/filepath"
	"testing"
)

// left lists what is in a directory.
func left(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestFailureKeepsFile: of a file that is to be replaced the old one stays whole.
func TestFailureKeepsFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "tree")
	if err := os.WriteFile(name, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	err := whole(name, func(f *os.File) error {
		if _, err := f.WriteString("half"); err != nil {
			return err
		}
		return os.ErrInvalid
	})
	if got, rerr := os.ReadFile(name); err == nil || rerr != nil || string(got) != "old" || len(left(t, dir)) != 1 {
		t.Errorf("%v, %q is left of %q, %v", err, got, left(t, dir), rerr)
	}
	if err := whole(name, func(f *os.File) error { _, err := f.WriteString("new"); return err }); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(name)
	if got, rerr := os.ReadFile(name); err != nil || rerr != nil || string(got) != "new" || st.Mode().Perm() != 0o640 || len(left(t, dir)) != 1 {
		t.Errorf("%v, %v, %q, mode %v", err, rerr, got, st.Mode())
	}
	absent := filepath.Join(dir, "none", "tree")
	if err := whole(absent, func(*os.File) error { return nil }); err == nil || err.Error() != "write "+absent+": make a file beside it: no such file or directory" {
		t.Errorf("in a directory that is not there: %v", err)
	}
	// What is read may have a name that looks like that of the file written aside.
	err = whole(name, func(*os.File) error { _, err := os.Open(filepath.Join(dir, "input.tmp")); return err })
	if want := "open " + filepath.Join(dir, "input.tmp") + ": no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if err := whole("/dev/null", func(f *os.File) error { _, err := f.WriteString("x"); return err }); err != nil {
		t.Errorf("a device: %v", err)
	}
}
