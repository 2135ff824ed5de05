package preflight

import (
	"bytes"
	"debug/elf"
	"io"
	"path/filepath"
	"strings"
)

// maxInterpreter bounds the name of an interpreter: that of a script as the kernel
// does (BINPRM_BUF_SIZE), which is more than any dynamic linker's needs.
const maxInterpreter = 256

// maxLibraries bounds the libraries that one file may name.
const maxLibraries = 256

// libraryDirs are where a dynamic linker looks without being told, in its order.
func libraryDirs() []string {
	dirs := []string{"/usr/local/lib"}
	for _, pattern := range []string{"/usr/local/lib/*-linux-*", "/lib/*-linux-*", "/usr/lib/*-linux-*"} {
		more, _ := filepath.Glob(pattern) // the pattern is a good one
		dirs = append(dirs, more...)
	}
	return append(dirs, "/lib64", "/usr/lib64", "/lib", "/usr/lib")
}

// named lists what a program says that it needs: the interpreter of a script, or the
// dynamic linker and the libraries. What cannot be read needs nothing: it could not be
// executed either.
func named(r io.ReaderAt, role string, libraries []string) (all []program) {
	if path, ok := scriptInterpreter(r); ok {
		return []program{{places: []string{path}, role: role}}
	}
	f, err := elf.NewFile(r)
	if err != nil {
		return nil
	}
	machine := machineOf(r)
	if path, ok := elfInterpreter(f); ok {
		all = append(all, program{places: []string{path}, role: role, machine: machine})
	}
	needed, err := f.ImportedLibraries()
	if err != nil {
		return all
	}
	dirs := append(runPaths(f), libraries...)
	for _, name := range needed[:min(len(needed), maxLibraries)] {
		all = append(all, program{places: places(name, dirs), role: role, machine: machine})
	}
	return all
}

// machine is what must be the same of a program and a library: class, byte order and
// processor. The empty one is that of no ELF file, or stands for any.
type machine string

// Where an ELF header has them.
const (
	identBegin, identEnd     = elf.EI_CLASS, elf.EI_DATA + 1
	machineBegin, machineEnd = 18, 20
)

func machineOf(r io.ReaderAt) machine {
	head := make([]byte, machineEnd)
	if _, err := r.ReadAt(head, 0); err != nil || !bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		return ""
	}
	return machine(head[identBegin:identEnd]) + machine(head[machineBegin:machineEnd])
}

// places are the paths that a library's name may stand for.
func places(name string, dirs []string) (paths []string) {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	for _, dir := range dirs {
		paths = append(paths, filepath.Join(dir, name))
	}
	return paths
}

// runPaths are where the file itself says that its libraries are. Those that begin at
// the place of the file are left out.
func runPaths(f *elf.File) (dirs []string) {
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		lists, err := f.DynString(tag)
		if err != nil {
			continue
		}
		for _, list := range lists {
			for dir := range strings.SplitSeq(list, ":") {
				if strings.HasPrefix(dir, "/") {
					dirs = append(dirs, dir)
				}
			}
		}
	}
	return dirs
}

func elfInterpreter(f *elf.File) (string, bool) {
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name := make([]byte, maxInterpreter)
		n, _ := p.ReadAt(name, 0) // a shorter one ends early
		path, _, _ := bytes.Cut(name[:n], []byte{0})
		if len(path) > 0 && path[0] == '/' {
			return string(path), true
		}
	}
	return "", false
}

// scriptInterpreter reads the first line of a script.
func scriptInterpreter(r io.ReaderAt) (string, bool) {
	head := make([]byte, maxInterpreter)
	n, _ := r.ReadAt(head, 0) // a shorter file is one, too
	line, ok := bytes.CutPrefix(head[:n], []byte("#!"))
	if !ok {
		return "", false
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	words := strings.Fields(string(line))
	if len(words) == 0 || !strings.HasPrefix(words[0], "/") {
		return "", false
	}
	return words[0], true
}
