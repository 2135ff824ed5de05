package vm

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// File is what stands at one path in the guest. Exactly one of Data, Host and
// Link is meant: bytes, a file of the host, or the target of a symbolic link.
type File struct {
	Data []byte
	Host string
	Link string
	// Mode is the permission bits. Zero means 0644 for Data, and for Host those
	// of the host's file.
	Mode fs.FileMode
}

// Files maps absolute paths in the guest to what stands there. All of it becomes
// part of the initramfs, hence boot_verified.
type Files map[string]File

// Add puts all of more into f, replacing what stands at the same path.
func (f Files) Add(more Files) {
	maps.Copy(f, more)
}

// merged are the directories that Debian keeps under /usr, with a link at the old
// place. The guest looks the same, so host binaries find their loader.
var merged = []string{"bin", "lib", "lib64", "sbin"}

// treeWriter is what a tree of files is written to, member by member.
type treeWriter interface {
	add(e entry) error
	finish() error
}

// writeInitramfs writes files, and the directories above them, as an archive that
// the kernel unpacks into its root file system.
func writeInitramfs(w io.Writer, files Files) error {
	return writeTree(&cpioWriter{w: w}, files)
}

func writeTree(a treeWriter, files Files) error {
	tree := make(map[string]File, len(files))
	for name, f := range files {
		clean, err := guestPath(name)
		if err != nil {
			return err
		}
		tree[clean] = f
	}
	for _, name := range merged {
		tree[name] = File{Link: "usr/" + name}
	}
	for _, dir := range directories(tree) {
		if err := a.add(entry{name: dir, mode: cpioDir | 0o755}); err != nil {
			return err
		}
	}
	// Without it, process 1 would start with its standard files closed.
	if err := a.add(entry{name: "dev/console", mode: cpioChar | 0o600, major: 5, minor: 1}); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		if err := addFile(a, name, tree[name]); err != nil {
			return err
		}
	}
	return a.finish()
}

// guestPath is the archive name of a path in the guest.
func guestPath(name string) (string, error) {
	clean := path.Clean(name)
	if !path.IsAbs(name) || clean == "/" {
		return "", fmt.Errorf("place %q in the guest: not an absolute path of a file", name)
	}
	clean = clean[1:]
	top, _, nested := strings.Cut(clean, "/")
	if nested && slices.Contains(merged, top) {
		clean = "usr/" + clean
	}
	return clean, nil
}

// directories lists every directory that the tree needs, parents first.
func directories(tree map[string]File) []string {
	set := map[string]bool{"dev": true, "root": true}
	for _, name := range merged {
		set["usr"], set["usr/"+name] = true, true
	}
	for name := range tree {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			set[dir] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func addFile(a treeWriter, name string, f File) error {
	switch {
	case f.Link != "":
		return a.add(entry{name: name, mode: cpioSymlink | 0o777, size: int64(len(f.Link)), body: strings.NewReader(f.Link)})
	case f.Host != "":
		return addHostFile(a, name, f)
	}
	mode := f.Mode.Perm()
	if mode == 0 {
		mode = 0o644
	}
	return a.add(entry{name: name, mode: cpioRegular | uint32(mode), size: int64(len(f.Data)), body: bytes.NewReader(f.Data)})
}

func addHostFile(a treeWriter, name string, f File) error {
	src, err := os.Open(f.Host)
	if err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	defer src.Close()
	st, err := src.Stat()
	if err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("archive %s: %s is not a regular file", name, f.Host)
	}
	mode := f.Mode.Perm()
	if mode == 0 {
		mode = st.Mode().Perm()
	}
	return a.add(entry{name: name, mode: cpioRegular | uint32(mode), size: st.Size(), body: src})
}
