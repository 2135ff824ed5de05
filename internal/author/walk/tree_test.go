//go:build !guest

package walk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
			tr := &Tree{Args: []string{top + "/tree"}}
			var listed []File
			for f := range tr.Files {
				listed = append(listed, f)
			}
			if len(listed) != 1 || listed[0].Rel != "sub/file" {
				t.Fatalf("listed %+v", listed)
			}
			defer listed[0].Done()
			if err := swap(top + "/tree"); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 2)
			go func() {
				_, err := listed[0].Open()
				done <- err
				done <- openStepwise(listed[0])
			}()
			for range cap(done) {
				select {
				case err := <-done:
					if err == nil || !errors.Is(err, unix.ELOOP) && !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, ErrNotRegular) || !strings.Contains(err.Error(), "sub/file") {
						t.Error(err)
					}
				case <-time.After(await.Limit):
					t.Fatal("it waits")
				}
			}
		})
	}
}

// openStepwise is Open where there is no openat2.
func openStepwise(file File) error {
	fd, err := stepwise(int(file.dir.self.Fd()), file.Rel, OpenFlags)
	if err != nil {
		return fmt.Errorf("%s: %w", file.Rel, err)
	}
	h := Handle{fd: fd}
	defer h.Close()
	if err := h.stat(); err != nil || h.Mode.IsRegular() {
		return err
	}
	return notRegular(file.Rel)
}

// TestTreeSelects: arguments whatever they are, and of directories what is asked for.
func TestTreeSelects(t *testing.T) {
	top := t.TempDir()
	writeFile(t, top+"/run", "#!/bin/sh\n", 0o755)
	writeFile(t, top+"/lib/x.so", "\x7fELF and more", 0o644)
	writeFile(t, top+"/lib/x.so.p7s", "signature", 0o644)
	writeFile(t, top+"/notes", "notes", 0o644)
	for name, tt := range map[string]struct {
		tree Tree
		want string
	}{
		"all":        {Tree{}, "lib/x.so lib/x.so.p7s notes run"},
		"executable": {Tree{Executable: true}, "lib/x.so run"},
		"name":       {Tree{Globs: []string{"x.*", "r?n"}}, "lib/x.so lib/x.so.p7s run"},
		"path":       {Tree{Globs: []string{"lib/*.so"}}, "lib/x.so"},
		"both":       {Tree{Globs: []string{"lib/*"}, Executable: true}, "lib/x.so"},
		"signatures": {Tree{Without: ".p7s"}, "lib/x.so notes run"},
		"a file":     {Tree{Executable: true, Globs: []string{"none"}, Args: []string{top + "/notes"}}, "notes"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := &tt.tree
			if tr.Args == nil {
				tr.Args = []string{top}
			}
			var got []string
			for file := range tr.Files {
				f, err := file.Open()
				if looked := file.Look(); (err == nil) != (looked == nil) {
					t.Errorf("%s: opened %v, looked at %v", file.Path, err, looked)
				}
				file.Done()
				if err == nil {
					got = append(got, file.Rel)
					f.Close()
				} else if !errors.Is(err, ErrNotAsked) {
					t.Error(err)
				}
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("%q, want %q", s, tt.want)
			}
		})
	}
}

// TestTreeNames: whatever the argument is called, the files in it are opened, each under its
// own name. What stands at the beginning of a path is no part of a name.
func TestTreeNames(t *testing.T) {
	top := t.TempDir()
	t.Chdir(top)
	for _, name := range []string{".dot", "dot", "..two", "tree", "bad\xff\nname"} {
		writeFile(t, "tree/"+name, name, 0o644)
	}
	if err := os.Symlink("tree", "link"); err != nil {
		t.Fatal(err)
	}
	root, err := At(top)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	want := []string{"..two", ".dot", "bad\xff\nname", "dot", "tree"}
	for _, in := range []Place{{}, root} {
		for _, arg := range []string{"tree", "./tree", "tree/", "tree//", "tree/.", "link", "./link/", "tree/../tree"} {
			if got := contents(t, &Tree{In: in, Args: []string{arg}}); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", arg, got, want)
			}
		}
	}
	t.Chdir("tree")
	for _, arg := range []string{".", "./", "../tree", top + "/tree"} {
		if got := contents(t, &Tree{Args: []string{arg}}); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", arg, got, want)
		}
	}
}

// contents opens what is in a tree. Each file has its name in it.
func contents(t *testing.T, tr *Tree) (all []string) {
	t.Helper()
	for file := range tr.Files {
		f, err := file.Open()
		file.Done()
		if err != nil {
			t.Error(err)
			continue
		}
		b := make([]byte, f.Size)
		if _, err := f.ReadAt(b, 0); err != nil || string(b) != file.Rel || filepath.Base(file.Path) != file.Rel {
			t.Errorf("%q below is %q: %q, %v", file.Path, file.Rel, b, err)
		}
		f.Close()
		all = append(all, file.Rel)
	}
	return all
}

// TestListIsNotLedAway: what takes the place of a directory is not listed.
func TestListIsNotLedAway(t *testing.T) {
	top := t.TempDir()
	writeFile(t, top+"/tree/a", "", 0o644)
	writeFile(t, top+"/tree/sub/inside", "", 0o644)
	writeFile(t, top+"/outside/secret", "", 0o644)
	root, err := At(top)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for arg, in := range map[string]Place{top + "/tree": {}, "/tree": root} {
		var got []string
		for f := range (&Tree{In: in, Args: []string{arg}}).Files {
			if len(got) == 0 {
				if err := errors.Join(os.Rename(top+"/tree/sub", top+"/sub"), os.Symlink("../outside", top+"/tree/sub")); err != nil {
					t.Fatal(err)
				}
			}
			got = append(got, f.Rel)
			if f.Rel == "sub" && (!errors.Is(f.Err, unix.ELOOP) || !strings.Contains(f.Err.Error(), "tree/sub: a symbolic link took its place")) {
				t.Errorf("%v", f.Err)
			}
			f.Done()
		}
		if want := []string{"a", "sub"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", arg, got, want)
		}
		if err := errors.Join(os.Remove(top+"/tree/sub"), os.Rename(top+"/sub", top+"/tree/sub")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDirectoriesAreClosed: many arguments want no more open files than one.
func TestDirectoriesAreClosed(t *testing.T) {
	top := t.TempDir()
	writeFile(t, top+"/a", "", 0o644)
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := open()
	for f := range (&Tree{Args: slices.Repeat([]string{top}, 50)}).Files {
		if n := open(); n > before+2 {
			t.Fatalf("%d files are open, %d before", n, before)
		}
		f.Done()
	}
	if n := open(); n != before {
		t.Errorf("%d files are open, %d before", n, before)
	}
}

// TestStepwise: the way of old kernels finds what openat2 finds.
func TestStepwise(t *testing.T) {
	top := t.TempDir()
	writeFile(t, top+"/a/b/file", "", 0o644)
	d, err := Place{}.directory(top)
	if err != nil {
		t.Fatal(err)
	}
	defer d.release()
	for _, name := range []string{".", "a", "a/b/file", "a/b/none", "a/b/file/x"} {
		fd, err := beneath(int(d.self.Fd()), name, OpenFlags)
		other, same := stepwise(int(d.self.Fd()), name, OpenFlags)
		if !errors.Is(same, err) || (err == nil) != (same == nil) {
			t.Errorf("%s: %v, and %v", name, err, same)
		}
		for _, fd := range []int{fd, other} {
			if fd >= 0 {
				unix.Close(fd)
			}
		}
	}
}

func BenchmarkTree(b *testing.B) {
	top := b.TempDir()
	for i := range 40 {
		for j := range 50 {
			name := fmt.Sprintf("%s/tree/%02d/sub/%02d", top, i, j)
			if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte("content"), 0o644)); err != nil {
				b.Fatal(err)
			}
		}
	}
	for b.Loop() {
		for file := range (&Tree{Args: []string{top + "/tree"}, Executable: true}).Files {
			if f, err := file.Open(); err == nil {
				f.Close()
			}
			file.Done()
		}
	}
}
