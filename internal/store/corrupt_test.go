package store_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/store"
)

// damage is a way to spoil the store in a directory.
type damage struct {
	name string
	do   func(dir string) error
	file string // that the error must name
	want error
}

func rewrite(file string, change func([]byte) []byte) func(string) error {
	return func(dir string) error {
		path := filepath.Join(dir, file)
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, change(b), 0o600)
	}
}

func remove(file string) func(string) error {
	return func(dir string) error { return os.RemoveAll(filepath.Join(dir, file)) }
}

func create(file string) func(string) error {
	return func(dir string) error { return os.WriteFile(filepath.Join(dir, file), []byte("x"), 0o600) }
}

// resum gives changed index text a checksum that fits.
func resum(old, with string) func([]byte) []byte {
	return func(b []byte) []byte {
		body := strings.Replace(string(b[:bytes.LastIndex(b, []byte("sum "))]), old, with, 1)
		return fmt.Appendf([]byte(body), "sum %x\n", sha256.Sum256([]byte(body)))
	}
}

func envelopeFile(e store.Entry) string {
	return fmt.Sprintf("policies/%x.p7b", sha256.Sum256(e.Envelope))
}

func damages() []damage {
	env := envelopeFile(entry("p", v(1, 5, 0)))
	cut := func(b []byte) []byte { return b[:len(b)-10] }
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	nothing := func([]byte) []byte { return nil }
	return []damage{
		{"index empty", rewrite("index", nothing), "index", store.ErrCorrupt},
		{"index truncated", rewrite("index", cut), "index", store.ErrCorrupt},
		{"index changed", rewrite("index", flip), "index", store.ErrCorrupt},
		{"index missing", remove("index"), "index", store.ErrCorrupt},
		{"index too long", rewrite("index", func([]byte) []byte { return make([]byte, 5<<20) }), "index", store.ErrCorrupt},
		{"index of another program", rewrite("index", func([]byte) []byte { return []byte("hello\n") }), "index", store.ErrCorrupt},
		{"newer format", rewrite("index", resum("ipe-store 1", "ipe-store 3")), "index", store.ErrFormat},
		{"unknown line", rewrite("index", resum("mode", "more")), "index", store.ErrCorrupt},
		{"mode of odd spelling", rewrite("index", resum("enforce=1", "enforce=2")), "index", store.ErrCorrupt},
		{"leading zero", rewrite("index", resum("1.5.0", "01.5.0")), "index", store.ErrCorrupt},
		{"version too high", rewrite("index", resum("1.5.0", "70000.5.0")), "index", store.ErrCorrupt},
		{"floor above the stored version", rewrite("index", resum("floor 70 1.5.0", "floor 70 1.6.0")), "index", store.ErrCorrupt},
		{"floor below the active version", rewrite("index", resum("floor 70 1.5.0", "floor 70 1.4.0")), "index", store.ErrCorrupt},
		{"active policy without floor", rewrite("index", resum("floor 70 1.5.0\n", "")), "index", store.ErrCorrupt},
		{"active policy unknown", rewrite("index", resum("active 70", "active 71")), "index", store.ErrCorrupt},
		{"empty name", rewrite("index", resum("active 70", "active ")), "index", store.ErrCorrupt},
		{"envelope missing", remove(env), env, store.ErrCorrupt},
		{"envelope truncated", rewrite(env, nothing), env, store.ErrCorrupt},
		{"envelope changed", rewrite(env, flip), env, store.ErrCorrupt},
		{"envelope too long", rewrite(env, func([]byte) []byte { return make([]byte, 70000) }), env, store.ErrCorrupt},
		{"envelopes missing", remove("policies"), "policies", store.ErrCorrupt},
		{"foreign file", create("notes.txt"), "notes.txt", store.ErrCorrupt},
		{"foreign temporary file", create("x.tmp"), "x.tmp", store.ErrCorrupt},
		{"foreign file among envelopes", create("policies/x.p7b"), "policies/x.p7b", store.ErrCorrupt},
		{"envelope name in capitals", create("policies/" + strings.Repeat("AB", 32) + ".p7b"), "AB.p7b", store.ErrCorrupt},
	}
}

// snapshot reads all files below dir.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	ok(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	}))
	return files
}

// TestCorrupt: the error names the file and what to do, and nothing is touched,
// not even what a crash left lying about.
func TestCorrupt(t *testing.T) {
	for _, d := range damages() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			dir := prepare(t)
			ok(t, create("index.ABCDEFGH.tmp")(dir))
			ok(t, d.do(dir))
			before := snapshot(t, dir)
			_, err := store.Open(dir)
			if !errors.Is(err, d.want) {
				t.Fatalf("got %v", err)
			}
			for _, part := range []string{d.file, "("} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("no %q in %q", part, err)
				}
			}
			if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSymbolicLinkIsForeign(t *testing.T) {
	dir := prepare(t)
	index := filepath.Join(dir, "index")
	ok(t, os.Rename(index, filepath.Join(filepath.Dir(dir), "index")))
	ok(t, os.Symlink("../index", index))
	if _, err := store.Open(dir); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

func TestGetNoticesChange(t *testing.T) {
	dir := prepare(t)
	s := open(t, dir)
	ok(t, rewrite(envelopeFile(entry("p", v(1, 5, 0))), func([]byte) []byte { return []byte("evil") })(dir))
	if e, err := s.Get("p"); !errors.Is(err, store.ErrCorrupt) || e.Envelope != nil {
		t.Errorf("got %+v, %v", e, err)
	}
}

func TestLeftoversGo(t *testing.T) {
	dir := prepare(t)
	want := snapshot(t, dir)
	for _, name := range []string{"index.ABCDEFGH.tmp", envelopeFile(entry("x", v(0, 0, 0))), envelopeFile(entry("y", v(0, 0, 0))) + ".ABCDEFGH.tmp"} {
		ok(t, create(name)(dir))
	}
	open(t, dir)
	if diff := cmp.Diff(want, snapshot(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	ok(t, os.Mkdir(filepath.Join(dir, "lost+found"), 0o700)) // a file system of its own
	ok(t, open(t, dir).Close())
	ok(t, os.Chmod(dir, 0o770))
	if _, err := store.Open(dir); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("writable by the group: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	ok(t, os.WriteFile(file, nil, 0o600))
	for _, bad := range []string{file, filepath.Join(dir, "no", "such")} {
		if _, err := store.Open(bad); err == nil {
			t.Errorf("opened %s", bad)
		}
	}
}
