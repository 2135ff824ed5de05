package abi

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// System is where probes look. The zero System is the running one.
type System struct {
	// Root is put before every path; empty means "/".
	Root string
	// Types gives the kernel's own BTF to one who has read it already, or is going to
	// need it; nil means to read it from below Root, and to forget it.
	Types func() (*btf.Spec, error)
	// Addresses is Symbols by somebody who has a shorter way; nil means to read the
	// kernel's list.
	Addresses func(names ...string) ([]uint64, error)
	// BPF tries one harmless bpf(2) call; nil means the real one.
	BPF func() error
	// Load loads one small program and throws it away; nil means to do so.
	Load func(asm.Instructions) Attempt
	// Maps makes one map of each kind that is needed and throws it away; nil means to
	// do so.
	Maps func() error
	// Keys describes the keys that the kernel's own IPE trusts; nil means to ask it.
	Keys func() ([]string, error)
}

func (s *System) path(name string) string { return filepath.Join("/", s.Root, name) }

func (s *System) exists(name string) bool {
	_, err := os.Stat(s.path(name))
	return err == nil
}

// read returns a small file's text without surrounding blanks.
func (s *System) read(name string) (string, error) {
	b, err := os.ReadFile(s.path(name))
	return strings.TrimSpace(string(b)), err
}

func (s *System) release() string {
	rel, err := s.read("proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return rel
}

func (s *System) bpf() error {
	if s.BPF != nil {
		return s.BPF()
	}
	return bpfCall()
}

// bpfCall asks bpf(2) for a program id with an empty attribute: BPF_PROG_GET_NEXT_ID
// answers ENOENT or success where it may be used, EPERM where it may not and
// ENOSYS where the kernel has no bpf(2).
func bpfCall() error {
	const progGetNextID = 11
	var attr [16]byte
	_, _, errno := unix.Syscall(unix.SYS_BPF, progGetNextID, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno == 0 || errno == unix.ENOENT {
		return nil
	}
	return errno
}

// module describes a driver: loaded (or built in), loadable, or absent.
type module int

const (
	moduleAbsent module = iota
	moduleLoadable
	moduleLoaded
)

// module looks for a driver by the name that /sys/module uses.
func (s *System) module(name string) module {
	if s.exists("sys/module/" + name) {
		return moduleLoaded
	}
	dir := "lib/modules/" + s.release()
	file := "/" + strings.ReplaceAll(name, "_", "-") + ".ko"
	if s.listed(dir+"/modules.builtin", file) {
		return moduleLoaded
	}
	if s.listed(dir+"/modules.dep", file) {
		return moduleLoadable
	}
	return moduleAbsent
}

// listed reports whether a line of the file names, before any colon, a path
// with the given tail, possibly compressed.
func (s *System) listed(name, tail string) bool {
	f, err := os.Open(s.path(name))
	if err != nil {
		return false
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		p, _, _ := strings.Cut(sc.Text(), ":")
		for _, suffix := range []string{"", ".xz", ".zst", ".gz"} {
			if strings.HasSuffix(p, tail+suffix) {
				return true
			}
		}
	}
	return false
}

// config returns a build option's value: "y", "m", "" if it is off; known is
// false if the kernel's configuration cannot be read.
func (s *System) config(option string) (value string, known bool) {
	text, err := s.configText()
	if err != nil {
		return "", false
	}
	for line := range bytes.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(string(line)), option+"="); ok {
			return v, true
		}
	}
	return "", true
}

func (s *System) configText() ([]byte, error) {
	for _, name := range []string{"boot/config-" + s.release(), "lib/modules/" + s.release() + "/config"} {
		if text, err := os.ReadFile(s.path(name)); err == nil {
			return text, nil
		}
	}
	f, err := os.Open(s.path("proc/config.gz"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, 4<<20))
}
