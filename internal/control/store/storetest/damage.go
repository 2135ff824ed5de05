package storetest

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
)

// Damage is a way to spoil a file.
type Damage struct {
	Name string
	Do   func(path string) error
	// Harmless: the file itself is as it was.
	Harmless bool
}

// Damages are all of them.
func Damages() []Damage {
	return []Damage{
		{"truncated", rewrite(func(b []byte) []byte { return b[:len(b)/2] }), false},
		{"without its end", rewrite(func(b []byte) []byte { return b[:len(b)-1] }), false},
		{"emptied", rewrite(func([]byte) []byte { return nil }), false},
		{"changed at the begin", rewrite(flip(0, 1)), false},
		{"changed in the middle", rewrite(flip(1, 2)), false},
		{"changed at the end", rewrite(flip(99, 100)), false},
		{"of zeros", rewrite(func(b []byte) []byte { return make([]byte, len(b)) }), false},
		{"with more at the end", rewrite(func(b []byte) []byte { return append(b, "more\n"...) }), false},
		{"too long", rewrite(func([]byte) []byte { return bytes.Repeat([]byte("x"), 5<<20) }), false},
		{"removed", os.Remove, false},
		{"doubled", double(".bak"), true},
		{"doubled under a like name", like, true},
		{"a directory", replaced(func(path string) error { return os.Mkdir(path, 0o700) }), false},
		{"a link to nothing", replaced(func(path string) error { return os.Symlink("nowhere", path) }), false},
		{"a link to a copy", linked, false},
		{"a FIFO", replaced(func(path string) error { return syscall.Mkfifo(path, 0o600) }), false},
	}
}

func rewrite(change func([]byte) []byte) func(string) error {
	return func(path string) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, change(b), 0o600)
	}
}

// flip changes the byte at that part of the length.
func flip(part, of int) func([]byte) []byte {
	return func(b []byte) []byte {
		b[len(b)*part/of] ^= 0x10
		return b
	}
}

func double(suffix string) func(string) error {
	return func(path string) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path+suffix, b, 0o600)
	}
}

// like puts a second file under a name of the same form: that of another digest, where
// the name is one.
func like(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	dir, name := filepath.Split(path)
	digit := "0"
	if name[:1] == digit {
		digit = "1"
	}
	return os.WriteFile(filepath.Join(dir, digit+name[1:]), b, 0o600)
}

func replaced(by func(string) error) func(string) error {
	return func(path string) error {
		if err := os.Remove(path); err != nil {
			return err
		}
		return by(path)
	}
}

// linked moves the file out of the store and leaves a link to it.
func linked(path string) error {
	away := filepath.Join(filepath.Dir(filepath.Dir(filepath.Dir(path))), "away")
	if err := os.Rename(path, away); err != nil {
		return err
	}
	return os.Symlink(away, path)
}
