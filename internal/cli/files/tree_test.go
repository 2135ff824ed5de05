//go:build !guest

package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/await"
)

func writeFile(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), mode)); err != nil {
		t.Fatal(err)
	}
}

// TestTreeIsNotLedAway: what was listed and then replaced is not what is opened.
func TestTreeIsNotLedAway(t *testing.T) {
	for name, swap := range map[string]func(dir string) error{
		"file by a link": func(dir string) error {
			return errors.Join(os.Remove(dir+"/sub/file"), os.Symlink("../../outside/file", dir+"/sub/file"))
		},
		"directory by a link": func(dir string) error {
			return errors.Join(os.Rename(dir+"/sub", dir+"/away"), os.Symlink("../outside", dir+"/sub"))
		},
		"directory by a link within": func(dir string) error {
			return errors.Join(os.Rename(dir+"/sub", dir+"/away"), os.Symlink("away", dir+"/sub"))
		},
		"file by a pipe": func(dir string) error {
			return errors.Join(os.Remove(dir+"/sub/file"), unix.Mkfifo(dir+"/sub/file", 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			writeFile(t, top+"/tree/sub/file", "inside", 0o755)
			writeFile(t, top+"/outside/file", "outside", 0o755)
			tr := &tree{args: []string{top + "/tree"}}
			defer tr.close()
			var listed []treeFile
			tr.walk(func(f treeFile) bool { listed = append(listed, f); return true })
			if len(listed) != 1 || listed[0].rel != "sub/file" {
				t.Fatalf("listed %+v", listed)
			}
			if err := swap(top + "/tree"); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				_, _, err := tr.open(listed[0])
				done <- err
			}()
			select {
			case err := <-done:
				if !errors.Is(err, unix.ELOOP) && !errors.Is(err, errNotRegular) || !strings.Contains(err.Error(), "sub/file") {
					t.Error(err)
				}
			case <-time.After(await.Limit):
				t.Error("it waits")
			}
		})
	}
}

// TestTreeSelects: arguments whatever they are, and of directories what is asked for.
func TestTreeSelects(t *testing.T) {
	top := t.TempDir()
	writeFile(t, top+"/run", "#!/bin/sh\n", 0o755)
	writeFile(t, top+"/lib/x.so", "\x7fELF and more", 0o644)
	writeFile(t, top+"/lib/x.so.p7s", "signature", 0o644)
	writeFile(t, top+"/notes", "notes", 0o644)
	for name, tt := range map[string]struct {
		tree tree
		want string
	}{
		"all":        {tree{}, "lib/x.so lib/x.so.p7s notes run"},
		"executable": {tree{executable: true}, "lib/x.so run"},
		"name":       {tree{globs: []string{"x.*", "r?n"}}, "lib/x.so lib/x.so.p7s run"},
		"path":       {tree{globs: []string{"lib/*.so"}}, "lib/x.so"},
		"both":       {tree{globs: []string{"lib/*"}, executable: true}, "lib/x.so"},
		"signatures": {tree{without: ".p7s"}, "lib/x.so notes run"},
		"a file":     {tree{executable: true, globs: []string{"none"}, args: []string{top + "/notes"}}, "notes"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := &tt.tree
			defer tr.close()
			if tr.args == nil {
				tr.args = []string{top}
			}
			var got []string
			tr.walk(func(file treeFile) bool {
				f, _, err := tr.open(file)
				if err != nil {
					t.Error(err)
				}
				if f != nil {
					got = append(got, file.rel)
					f.Close()
				}
				return true
			})
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("%q, want %q", s, tt.want)
			}
		})
	}
}
