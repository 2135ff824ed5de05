package vm

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// libraryDirs are searched for shared libraries, after a binary's own run path.
var libraryDirs = []string{
	"/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/local/lib", "/usr/lib64", "/lib64", "/usr/lib", "/lib",
}

// HostBinary gives a program of the host, its loader and the shared libraries that
// it is linked with, each at the path it has on the host. The name is looked up in
// PATH, /usr/sbin and /sbin. Libraries that the program opens only while running
// (dlopen) are not found this way; add them with HostBinary and their own path.
func HostBinary(names ...string) (Files, error) {
	files := Files{}
	for _, name := range names {
		file, err := lookUp(name)
		if err != nil {
			return nil, fmt.Errorf("find host binary %s: %w", name, err)
		}
		if err := addBinary(files, file); err != nil {
			return nil, fmt.Errorf("copy host binary %s: %w", name, err)
		}
	}
	return files, nil
}

// lookUp is exec.LookPath, plus the directories of administration tools, which
// are not in the PATH of ordinary users.
func lookUp(name string) (string, error) {
	file, err := exec.LookPath(name)
	if err == nil || strings.Contains(name, "/") {
		return file, err
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if file, e := exec.LookPath(filepath.Join(dir, name)); e == nil {
			return file, nil
		}
	}
	return "", err
}

// addBinary adds one ELF file and, recursively, what it needs.
func addBinary(files Files, file string) error {
	if _, done := files[file]; done {
		return nil
	}
	files[file] = File{Host: file}
	f, err := elf.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if interp := interpreter(f); interp != "" {
		files[interp] = File{Host: interp}
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		return err
	}
	for _, lib := range libs {
		found, err := findLibrary(f, filepath.Dir(file), lib)
		if err != nil {
			return err
		}
		if err := addBinary(files, found); err != nil {
			return err
		}
	}
	return nil
}

// interpreter is the loader that the kernel starts for the program; empty for
// libraries and static programs.
func interpreter(f *elf.File) string {
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			text, err := io.ReadAll(p.Open())
			if err == nil {
				return strings.TrimRight(string(text), "\x00")
			}
		}
	}
	return ""
}

// findLibrary looks where the loader would; $ORIGIN is the directory of the
// binary that needs the library. That is searched last, for a library that the
// program has loaded from there before.
func findLibrary(f *elf.File, origin, lib string) (string, error) {
	var dirs []string
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		// An absent tag gives none.
		lists, _ := f.DynString(tag)
		for _, list := range lists {
			dirs = append(dirs, filepath.SplitList(strings.ReplaceAll(list, "$ORIGIN", origin))...)
		}
	}
	for _, dir := range slices.Concat(dirs, libraryDirs, []string{origin}) {
		path := filepath.Join(dir, lib)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("find library %s: %w", lib, fs.ErrNotExist)
}
