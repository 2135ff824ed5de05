// Package policydir finds the signed policies that came with a machine, where
// systemd looks for those of the kernel's IPE and by its rules (conf-files.c): of
// files of one name the one in the first directory counts, in the order of the names,
// whatever the directory. An empty file, or a link to /dev/null, masks those of its
// name in later directories.
//
// A directory or file that others than root can change does not count, nor does what it
// masks: deploying is for root alone.
package policydir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/internal/ownership"
)

// suffix is what names of policies end in.
const suffix = ".p7b"

// Default returns the directories that are looked at, the first first.
func Default() []string {
	return []string{"/etc/ipe", "/run/ipe", "/usr/local/lib/ipe", "/usr/lib/ipe"}
}

// ErrType says that a file is not one whose content could be read.
var ErrType = errors.New("not a regular file")

// File is one that was found.
type File struct {
	Path string
	// Data is what it holds, cut off after one byte more than was asked for.
	Data []byte
}

// Read returns the files that count, sorted by name, and what could not be read. A
// directory that is not there holds none.
func Read(dirs []string, limit int) (files []File, problems []error) {
	first := map[string]string{}
	for _, dir := range dirs {
		entries, err := entriesOf(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, fmt.Errorf("policy directory: %w", err))
		}
		for _, e := range entries {
			if _, masked := first[e.Name()]; !masked && isPolicy(e.Name()) {
				first[e.Name()] = filepath.Join(dir, e.Name())
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(first)) {
		data, err := read(first[name], limit)
		if err != nil {
			problems = append(problems, fmt.Errorf("policy file: %w", err))
		}
		if len(data) > 0 {
			files = append(files, File{first[name], data})
		}
	}
	return files, problems
}

func entriesOf(dir string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(dir)
	if len(entries) == 0 {
		return nil, err
	}
	if unsafe := ownership.Check(dir); unsafe != nil {
		return nil, unsafe
	}
	return entries, err
}

// isPolicy leaves out hidden files, as ls does.
func isPolicy(name string) bool {
	return strings.HasSuffix(name, suffix) && !strings.HasPrefix(name, ".")
}

// read returns no data for a mask.
func read(path string, limit int) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case isNull(info):
		return nil, nil
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %w", path, ErrType)
	}
	if err := ownership.Check(path); err != nil {
		return nil, err
	}
	return readFile(path, limit)
}

func isNull(info fs.FileInfo) bool {
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(info, null)
}

func readFile(path string, limit int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}
