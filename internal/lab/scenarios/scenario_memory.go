//go:build linux

package scenarios

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ranges: each mapping of a range is judged for itself, from low addresses up, and
// what was changed before a denial stays changed.
func ranges(s *Session) error {
	if err := s.mode(true, true); err != nil {
		return err
	}
	if err := s.switchTo("sealed allowed", "DEFAULT action=ALLOW", "DEFAULT op=EXECUTE action=DENY",
		"op=EXECUTE fsverity_digest="+s.digests["sealed"]+" action=ALLOW"); err != nil {
		return err
	}
	sealed, plain := s.subject("sealed"), s.subject("plain")
	for _, files := range [][]*subject{{sealed, sealed}, {sealed, plain}, {plain, sealed}, {sealed, nil}, {nil, sealed}} {
		var names []string
		for _, f := range files {
			names = append(names, f.title())
		}
		what := strings.Join(names, " and ")
		if err := s.observe("mprotect of "+what, func() error { return protectRange(files) }); err != nil {
			return err
		}
		if err := s.report("then "+what, permissions(len(files))); err != nil {
			return err
		}
	}
	return s.corners(sealed, plain)
}

// corners are what the memory of a process can be made executable by otherwise.
func (s *Session) corners(files ...*subject) error {
	for _, a := range []act{
		{"remap_file_pages", (*subject).remapped},
		{"mmap over another", (*subject).mappedOver},
		{"mremap of what is executable", (*subject).moved},
		{"mprotect of a part", (*subject).protectedPart},
		{"mmap to be written", (*subject).mappedWritable},
	} {
		for _, f := range files {
			if err := s.observe(a.name+", "+f.name, func() error { return a.try(f) }); err != nil {
				return err
			}
		}
	}
	return s.observe("mmap of huge pages", mapHuge)
}

// title is the subject's name, also of memory without a file.
func (f *subject) title() string {
	if f == nil {
		return "memory"
	}
	return f.name
}

// subject finds one by name.
func (s *Session) subject(name string) *subject {
	for _, f := range s.subjects {
		if f.name == name {
			return f
		}
	}
	return nil
}

// rangeAt is where ranges are mapped, so that they lie side by side.
const rangeAt = 0x7e0000000000

// place maps a page at an address.
func place(at uintptr, f *subject, prot, flags int) error {
	fd := ^uintptr(0)
	if f != nil {
		fd = uintptr(f.fd)
	} else {
		flags |= unix.MAP_ANON
	}
	return call(unix.SYS_MMAP, at, page, uintptr(prot), uintptr(flags|unix.MAP_FIXED), fd, 0)
}

// protectRange maps a page of each file, one behind the other, and makes all of them
// executable by one call. Two pages of one file become one mapping only if they
// follow each other in it, which they do not.
func protectRange(files []*subject) error {
	for i, f := range files {
		if err := place(rangeAt+uintptr(i)*page, f, unix.PROT_READ, unix.MAP_PRIVATE); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	return mprotect(rangeAt, len(files)*page, unix.PROT_READ|unix.PROT_EXEC)
}

// permissions are those of the first n pages of the range.
func permissions(n int) string {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return result(err)
	}
	all := make([]string, n)
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		var perms string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &perms); err != nil {
			return err.Error()
		}
		for i := range all {
			if at := rangeAt + uintptr(i)*page; from <= at && at < to {
				all[i] = perms
			}
		}
	}
	return strings.Join(all, " ")
}

// remapped rearranges the pages of a shared mapping that was made executable before
// there was a policy; the kernel maps them anew.
func (f *subject) remapped() error {
	return call(unix.SYS_REMAP_FILE_PAGES, f.shared, page, 0, 0, 0)
}

// mappedOver puts an executable mapping in the place of one that is there.
func (f *subject) mappedOver() error {
	if err := place(rangeAt, nil, unix.PROT_READ, unix.MAP_PRIVATE); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	return place(rangeAt, f, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
}

// moved doubles an executable mapping, which is not judged.
func (f *subject) moved() error {
	at, _, errno := unix.RawSyscall6(unix.SYS_MREMAP, f.held, page, 2*page, unix.MREMAP_MAYMOVE, 0, 0)
	if errno != 0 {
		return errno
	}
	f.held = at
	return nil
}

// protectedPart makes one page of a mapping of two executable.
func (f *subject) protectedPart() error {
	at, err := mmap(2*page, unix.PROT_READ, unix.MAP_PRIVATE, f.fd)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	err = mprotect(at+page, page, unix.PROT_READ|unix.PROT_EXEC)
	if e := munmap(at, 2*page); e != nil {
		return fmt.Errorf("unmap: %w", e)
	}
	return err
}

// mappedWritable asks for everything at once.
func (f *subject) mappedWritable() error {
	at, err := mmap(page, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE, f.fd)
	if err != nil {
		return err
	}
	return munmap(at, page)
}

// hugePage is the size of what mapHuge maps.
const hugePage = 2 << 20

// mapHuge: memory of huge pages has a file in the kernel, unlike other memory.
func mapHuge() error {
	if err := os.WriteFile("/proc/sys/vm/nr_hugepages", []byte("2"), 0); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	at, err := mmap(hugePage, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_HUGETLB, -1)
	if err != nil {
		return err
	}
	return munmap(at, hugePage)
}
