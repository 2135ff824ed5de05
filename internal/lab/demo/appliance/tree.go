//go:build linux

package appliance

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	_ "embed"
)

//go:embed nftables.conf
var ruleset []byte

// nftPath is the program that the appliance is about, within the volume.
const nftPath = "usr/sbin/nft"

// libraryDirs are where Debian's packages have libraries.
var libraryDirs = []string{"usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"}

// buildTree copies nft with its loader and libraries, and nothing else, from the
// unpacked packages at src, and adds the ruleset.
func buildTree(src, dst string) error {
	t := tree{src: src, dst: dst, done: map[string]bool{}}
	if err := t.add(nftPath); err != nil {
		return err
	}
	for _, dir := range []string{"dev", "proc", "srv", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dst, dir), 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"lib", "lib64", "sbin"} {
		if err := os.Symlink("usr/"+name, filepath.Join(dst, name)); err != nil {
			return err
		}
	}
	return write(filepath.Join(dst, "etc/nftables.conf"), ruleset, 0o755)
}

type tree struct {
	src, dst string
	done     map[string]bool
}

// add copies one ELF file and what it needs. In the volume, /lib is part of /usr.
func (t *tree) add(name string) error {
	if t.done[name] {
		return nil
	}
	t.done[name] = true
	data, err := os.ReadFile(filepath.Join(t.src, name))
	if err != nil {
		return err
	}
	place := name
	if !strings.HasPrefix(place, "usr/") {
		place = "usr/" + place
	}
	if err := write(filepath.Join(t.dst, place), data, 0o755); err != nil {
		return err
	}
	needs, err := t.needs(name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	for _, need := range needs {
		if err := t.add(need); err != nil {
			return err
		}
	}
	return nil
}

// needs lists the loader and the libraries that an ELF file names.
func (t *tree) needs(name string) ([]string, error) {
	f, err := elf.Open(filepath.Join(t.src, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	libs, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	var needs []string
	for _, lib := range libs {
		if lib == "ld-linux-x86-64.so.2" {
			continue // the loader of all of them
		}
		found, err := t.find(lib)
		if err != nil {
			return nil, err
		}
		needs = append(needs, found)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		text, err := io.ReadAll(p.Open())
		if err != nil {
			return nil, err
		}
		needs = append(needs, strings.Trim(string(text), "/\x00"))
	}
	return needs, nil
}

func (t *tree) find(lib string) (string, error) {
	for _, dir := range libraryDirs {
		name := path.Join(dir, lib)
		if _, err := os.Stat(filepath.Join(t.src, name)); !errors.Is(err, fs.ErrNotExist) {
			return name, err
		}
	}
	return "", fmt.Errorf("find library %s: %w", lib, fs.ErrNotExist)
}
