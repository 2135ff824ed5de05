package policydir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/daemon/policydir"
	"github.com/ipe-linux/ipe/internal/ownership"
)

func TestRead(t *testing.T) {
	top := t.TempDir()
	dirs := []string{filepath.Join(top, "etc"), filepath.Join(top, "run"), filepath.Join(top, "gone"), filepath.Join(top, "usr")}
	write := func(name, data string) {
		t.Helper()
		path := filepath.Join(top, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("usr/site.p7b", "usr")
	write("run/site.p7b", "run")
	write("etc/z.p7b", "etc")
	write("usr/a.p7b", "usr")
	write("usr/masked.p7b", "usr")
	write("run/masked.p7b", "")
	write("usr/null.p7b", "usr")
	write("usr/long.p7b", strings.Repeat("x", 20))
	write("usr/dangling.p7b", "usr")
	for _, ignored := range []string{"usr/README", "usr/.hidden.p7b", "usr/site.p7b.bak", "usr/site.p7s", "usr/p7b"} {
		write(ignored, "ignored")
	}
	etc := func(name string) string { return filepath.Join(top, "etc", name) }
	if err := errors.Join(os.Symlink(os.DevNull, etc("null.p7b")), os.Symlink("nowhere", etc("dangling.p7b")),
		os.Symlink("z.p7b", etc("link.p7b")), os.Mkdir(etc("dir.p7b"), 0o755), syscall.Mkfifo(etc("fifo.p7b"), 0o644)); err != nil {
		t.Fatal(err)
	}
	files, problems := policydir.Read(dirs, 10)
	var got []string
	for _, f := range files {
		rel, err := filepath.Rel(top, f.Path)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, rel+" "+string(f.Data))
	}
	want := []string{"usr/a.p7b usr", "etc/link.p7b etc", "usr/long.p7b xxxxxxxxxxx", "run/site.p7b run", "etc/z.p7b etc"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(problems) != 3 || !errors.Is(problems[0], fs.ErrNotExist) || !errors.Is(problems[1], policydir.ErrType) || !errors.Is(problems[2], policydir.ErrType) {
		t.Errorf("problems %q; want those of dangling, dir and fifo", problems)
	}
	_, problems = policydir.Read([]string{filepath.Join(top, "etc", "z.p7b")}, 10)
	if len(problems) != 1 || !errors.Is(problems[0], syscall.ENOTDIR) {
		t.Errorf("a file in the place of a directory: %v", problems)
	}
}

// TestDefault is what systemd has for files of this kind.
func TestDefault(t *testing.T) {
	want := []string{"/etc/ipe", "/run/ipe", "/usr/local/lib/ipe", "/usr/lib/ipe"}
	if diff := cmp.Diff(want, policydir.Default()); diff != "" {
		t.Error(diff)
	}
}

// TestReadOwn: neither files nor masks of others than root count.
func TestReadOwn(t *testing.T) {
	top := t.TempDir()
	for _, f := range []struct {
		name string
		mode os.FileMode
	}{{"open/a.p7b", 0o644}, {"etc/a.p7b", 0o644}, {"etc/b.p7b", 0o646}, {"etc/c.p7b", 0o644}} {
		path := filepath.Join(top, f.name)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(f.name), f.mode), os.Chmod(path, f.mode))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(top, "open"), 0o777); err != nil {
		t.Fatal(err)
	}
	files, problems := policydir.Read([]string{filepath.Join(top, "open"), filepath.Join(top, "etc")}, 100)
	var got []string
	for _, f := range files {
		got = append(got, string(f.Data))
	}
	if strings.Join(got, " ") != "etc/a.p7b etc/c.p7b" || len(problems) != 2 {
		t.Errorf("files %q, problems %q", got, problems)
	}
	for _, err := range problems {
		var unsafe *ownership.Error
		if !errors.As(err, &unsafe) {
			t.Errorf("problem %v", err)
		}
	}
}
