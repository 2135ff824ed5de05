package ownership_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/ownership"
	"github.com/ipe-linux/ipe/internal/plain"
)

func ok(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// place makes DIR/a/b/file, which only the user of the test can change.
func place(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	ok(t, err)
	ok(t, os.Chmod(dir, 0o755), os.MkdirAll(filepath.Join(dir, "a/b"), 0o755), os.WriteFile(filepath.Join(dir, "a/b/file"), nil, 0o644))
	return dir
}

func TestCheck(t *testing.T) {
	chmod := func(name string, mode fs.FileMode) func(string) error {
		return func(dir string) error { return os.Chmod(filepath.Join(dir, name), mode) }
	}
	link := func(target, name string) func(string) error {
		return func(dir string) error {
			return os.Symlink(strings.ReplaceAll(target, "DIR", dir), filepath.Join(dir, name))
		}
	}
	both := func(all ...func(string) error) func(string) error {
		return func(dir string) (err error) {
			for _, do := range all {
				err = errors.Join(err, do(dir))
			}
			return err
		}
	}
	tests := []struct {
		name string
		do   func(dir string) error
		path string
		want string // the part at fault, empty for none
	}{
		{"file", both(), "a/b/file", ""},
		{"directory", both(), "a/b", ""},
		{"dots", both(), "a/./b/../b/file", ""},
		{"file of the group", chmod("a/b/file", 0o664), "a/b/file", "a/b/file"},
		{"file of the world", chmod("a/b/file", 0o602), "a/b/file", "a/b/file"},
		{"directory of the group", chmod("a/b", 0o775), "a/b", "a/b"},
		{"parent", chmod("a/b", 0o777), "a/b/file", "a/b"},
		{"parent's parent", chmod("a", 0o775), "a/b/file", "a"},
		{"sticky parent", chmod("a", 0o777|fs.ModeSticky), "a/b/file", ""},
		{"sticky directory", chmod("a/b", 0o777|fs.ModeSticky), "a/b", "a/b"},
		{"link", link("a/b", "to"), "to/file", ""},
		{"link at the end", link("b/file", "a/to"), "a/to", ""},
		{"absolute link", link("DIR/a/b", "to"), "to/file", ""},
		{"link up", link("../a", "a/up"), "a/up/b/file", ""},
		{"link to what others can change", both(link("a/b", "to"), chmod("a/b", 0o777)), "to/file", "a/b"},
		{"link through what others can change", both(link("a/b/file", "to"), chmod("a", 0o777)), "to", "a"},
		{"link in what others can change", both(link("b/file", "a/to"), chmod("a", 0o777)), "a/to", "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := place(t)
			ok(t, tt.do(dir))
			err := ownership.Check(filepath.Join(dir, tt.path))
			var unsafe *ownership.Error
			if tt.want == "" {
				ok(t, err)
			} else if !errors.As(err, &unsafe) || unsafe.Path != filepath.Join(dir, tt.want) || !strings.Contains(unsafe.Hint(), "chmod go-w "+unsafe.Path) {
				t.Errorf("got %v, want %s at fault", err, tt.want)
			}
		})
	}
}

// TestFixIsAWord: the command that mends it names this path, whatever is in it, and so does
// the message.
func TestFixIsAWord(t *testing.T) {
	for name, want := range map[string]string{"a b": "chmod go-w '%s/a b'", "it's": `chmod go-w '%s/it'\''s'`, "-x": "chmod go-w %s/-x", "a\nb": "chmod go-w FILE", "\x1b": "chmod go-w FILE"} {
		dir := place(t)
		path := filepath.Join(dir, name)
		ok(t, os.Mkdir(path, 0o700), os.Chmod(path, 0o777))
		err := ownership.Check(path)
		if got, want := hint.Of(err), "run: "+strings.Replace(want, "%s", dir, 1); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
		if want := plain.Name(path) + " may be written by others than root (run: "; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", name, err, want)
		}
	}
}

// TestOwner needs root, who alone can give a file away.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		if err := ownership.Check("/proc/1/stat"); err != nil {
			t.Errorf("root's: %v", err)
		}
		return
	}
	for _, name := range []string{"a", "a/b", "a/b/file", "link"} {
		dir := place(t)
		ok(t, os.Symlink("a/b/file", filepath.Join(dir, "link")), os.Lchown(filepath.Join(dir, name), 65534, 65534))
		path := filepath.Join(dir, "link")
		err := ownership.Check(path)
		var unsafe *ownership.Error
		if !errors.As(err, &unsafe) || unsafe.Path != filepath.Join(dir, name) || !strings.Contains(err.Error(), "uid 65534") {
			t.Errorf("%s of another user: %v", name, err)
		}
	}
}

func TestNoSuchPath(t *testing.T) {
	dir := place(t)
	if err := ownership.Check(filepath.Join(dir, "gone/file")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	ok(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	var unsafe *ownership.Error
	if err := ownership.Check(filepath.Join(dir, "loop")); err == nil || errors.As(err, &unsafe) {
		t.Errorf("a link to itself: %v", err)
	}
}
