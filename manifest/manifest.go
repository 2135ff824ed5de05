// Package manifest is the list of files that ipe fsverity manifest writes and signs, and
// that a policy or an image is made of: one JSON object a line, for each file its path, its
// fs-verity digest, its size in bytes and its permissions.
//
//	{"path":"usr/bin/env","digest":"sha256:ad15…","size":48536,"mode":"0755"}
//
// [Parse] reads strictly, because what it reads is signed and believed: no unknown fields,
// no path twice, none that leads elsewhere, no digest that nothing can have. A [List] keeps
// the same rules for what is to be written.
//
// The package opens no file and verifies no signature. Signatures are detached PKCS#7 of
// the manifest's bytes: see package sign.
//
// Stability: this is version 0. Manifests that are read today will be, and fields come only
// with a new form, since older programs refuse what they do not know. Names of this package
// may still change.
package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/ipe-linux/ipe/digest"
)

const (
	// MaxLine bounds a line, in bytes: paths have 4096 at most, and JSON escapes some.
	MaxLine = 64 << 10
	// MaxSize bounds a manifest, in bytes: a million files. A signed one is held in
	// memory, so that what is read is what was verified.
	MaxSize = 256 << 20
)

var (
	// ErrEmpty: the manifest names no file.
	ErrEmpty = errors.New("the manifest names no file")
	// ErrTooLarge: it is longer than MaxSize.
	ErrTooLarge = errors.New("file too large")
)

// Entry is one file.
type Entry struct {
	// Path is UTF-8, in its shortest form, and leads nowhere above where it begins.
	Path string `json:"path"`
	// Digest is the fs-verity digest.
	Digest digest.Digest `json:"digest"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// Mode is the permissions as [Octal] writes them.
	Mode string `json:"mode"`
}

// PathError is a path that cannot stand in a manifest, and why.
type PathError struct{ Path, Reason string }

// Error returns the quoted path with the reason behind it.
func (e *PathError) Error() string { return fmt.Sprintf("%q: %s", e.Path, e.Reason) }

// CheckPath refuses, with a *PathError, paths that could lead to another file than they
// seem to, or that JSON would change.
func CheckPath(name string) error {
	switch {
	case name != path.Clean(name):
		return &PathError{name, "not in its shortest form, " + path.Clean(name)}
	case name == ".." || strings.HasPrefix(name, "../"):
		return &PathError{name, "leads above where it begins"}
	case name == "." || name == "/":
		return &PathError{name, "names no file"}
	case !utf8.ValidString(name) || strings.ContainsRune(name, 0):
		return &PathError{name, "not UTF-8"}
	}
	return nil
}

// Key is the same for paths that are the same below a directory.
func Key(name string) string { return strings.TrimLeft(name, "/") }

// Octal shows permissions as chmod(1) takes them: four octal digits, with the bits for
// set-user-ID, set-group-ID and sticky.
func Octal(m fs.FileMode) string {
	bits := m.Perm()
	for flag, bit := range map[fs.FileMode]fs.FileMode{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return fmt.Sprintf("%04o", uint32(bits))
}

// List notes the paths of a manifest, to have each once. The zero List is empty.
type List struct{ paths map[string]string } // by key

// Add notes a path. It returns false for one that is there, and a *PathError for one that
// cannot be.
func (l *List) Add(name string) (bool, error) {
	if err := CheckPath(name); err != nil {
		return false, err
	}
	key := Key(name)
	if before, ok := l.paths[key]; ok {
		if before != name {
			return false, &PathError{name, "is there as " + before + " as well"}
		}
		return false, nil
	}
	if l.paths == nil {
		l.paths = map[string]string{}
	}
	l.paths[key] = name
	return true, nil
}

// Len is the number of paths.
func (l *List) Len() int { return len(l.paths) }
