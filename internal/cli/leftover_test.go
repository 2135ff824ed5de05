package cli

import (
	"bytes"
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

// TestFailureLeavesNothing: whatever fails, and however late, no file is made, and none that
// was there is changed.
func TestFailureLeavesNothing(t *testing.T) {
	block := bytes.Repeat([]byte("x"), 4096)
	data := bytes.Repeat(block, 8)
	for name, args := range map[string][]string{
		"parity at no place":      {"dmverity", "format", "data", "hash", "--fec-device", "gone/fec"},
		"parity like nothing":     {"dmverity", "format", "data", "hash", "--fec-device", "fec", "--fec-roots", "99"},
		"parity over hashes":      {"dmverity", "format", "data", "hash", "--fec-device", "hash", "--fec-offset", "0"},
		"no root hash file":       {"dmverity", "format", "data", "hash", "--root-hash-file", "gone/root"},
		"parity, no root hash":    {"dmverity", "format", "data", "hash", "--fec-device", "fec", "--root-hash-file", "gone/root"},
		"hash area behind data":   {"dmverity", "format", "data", "data", "--hash-offset", "32768", "--root-hash-file", "gone/root"},
		"data that is a part":     {"dmverity", "format", "data", "hash", "--data-blocks", "9"},
		"descriptor at no place":  {"fsverity", "digest", "data", "--out-merkle-tree", "gone/tree"},
		"data that cannot be":     {"dmverity", "format", "gone", "hash"},
		"no place for a message":  {"dmverity", "format", "data", "gone/hash"},
		"parity of a small block": {"dmverity", "format", "data", "hash", "--data-block-size", "512", "--fec-device", "gone/fec"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			if err := os.WriteFile("data", data, 0o600); err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			if code := Main(args, &bytes.Buffer{}, &stdout, &stderr); code == 0 {
				t.Errorf("it succeeds: %s", &stdout)
			}
			got, err := os.ReadFile("data")
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("data has %d bytes now, %v", len(got), err)
			}
			if names := left(t, dir); len(names) != 1 {
				t.Errorf("%q are left; it said %s", names, &stderr)
			}
		})
	}
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
	if err := whole("/dev/null", func(f *os.File) error { _, err := f.WriteString("x"); return err }); err != nil {
		t.Errorf("a device: %v", err)
	}
}
