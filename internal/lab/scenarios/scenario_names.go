//go:build linux

package scenarios

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// names are what records say of files and threads: those that need another spelling,
// and those that have no name, or another one for somebody else.
func names(s *Session) error {
	if err := s.mode(true, true); err != nil {
		return err
	}
	if err := s.switchTo("deny files", "DEFAULT action=ALLOW", "op=EXECUTE boot_verified=FALSE action=DENY"); err != nil {
		return err
	}
	for _, step := range []func() error{s.fileNames, s.lostNames, s.placeNames, s.longNames, s.threadNames} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// mapName maps a file of that name.
func mapName(name string) error {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer unix.Close(fd)
	return mapDescriptor(fd)
}

func mapDescriptor(fd int) error {
	at, err := mmap(page, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE, fd)
	if err != nil {
		return err
	}
	return munmap(at, page)
}

func (s *Session) fileNames() error {
	for _, name := range []string{
		"plain", "with blank", `with"quote`, "with\\backslash", "h\u00e4\u00dflich", "\xff\xfe", "line\nend", "tab\t", "~", "\x7f", strings.Repeat("n", 255),
	} {
		path := "/tmp/names/" + name
		if err := writeScript(path); err != nil {
			return err
		}
		if err := s.observe(fmt.Sprintf("mmap %.20q", name), func() error { return mapName(path) }); err != nil {
			return err
		}
		if err := s.observe(fmt.Sprintf("exec %.20q", name), func() error { return execName(path) }); err != nil {
			return err
		}
	}
	return s.observe("exec by a relative name", func() error { return in("/tmp/names", func() error { return execName("./plain") }) })
}

func writeScript(path string) error {
	if err := os.MkdirAll(path[:strings.LastIndexByte(path, '/')], 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(script), 0o755)
}

func execName(path string) error {
	p, err := unix.BytePtrFromString(path)
	if err != nil {
		return err
	}
	return (&subject{cpath: p}).exec()
}

// in does something in another working directory.
func in(dir string, fn func() error) error {
	if err := unix.Chdir(dir); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	err := fn()
	if e := unix.Chdir("/"); e != nil {
		return e
	}
	return err
}

// lostNames are files whose name is gone.
func (s *Session) lostNames() error {
	deleted, err := opened("/tmp/deleted")
	if err != nil {
		return err
	}
	moved, err := opened("/tmp/before")
	if err != nil {
		return err
	}
	again, err := opened("/tmp/replaced")
	if err != nil {
		return err
	}
	unnamed, err := unix.Open("/tmp", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o700)
	if err != nil {
		return err
	}
	if err := writeOnce(unnamed, script); err != nil {
		return err
	}
	for _, err := range []error{unix.Unlink("/tmp/deleted"), unix.Rename("/tmp/before", "/tmp/after"), unix.Unlink("/tmp/replaced"), writeScript("/tmp/replaced")} {
		if err != nil {
			return err
		}
	}
	memory, err := unix.MemfdCreate("with blank", 0)
	if err != nil {
		return err
	}
	if err := writeOnce(memory, script); err != nil {
		return err
	}
	for _, f := range []struct {
		what string
		fd   int
	}{{"deleted", deleted}, {"moved", moved}, {"replaced", again}, {"never named", unnamed}, {"memfd", memory}} {
		if err := s.observe("mmap "+f.what, func() error { return mapDescriptor(f.fd) }); err != nil {
			return err
		}
		if err := s.observe("exec "+f.what, func() error { return execDescriptor(f.fd) }); err != nil {
			return err
		}
		if err := unix.Close(f.fd); err != nil {
			return err
		}
	}
	return nil
}

func opened(path string) (int, error) {
	if err := writeScript(path); err != nil {
		return 0, err
	}
	return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// execDescriptor is fexecve: AT_EMPTY_PATH. The script's interpreter could not open
// it, so that an ENOENT means that it was allowed.
func execDescriptor(fd int) error {
	empty, err := unix.BytePtrFromString("")
	if err != nil {
		return err
	}
	return (&subject{cpath: empty}).execAt(uintptr(fd), unix.AT_EMPTY_PATH)
}

// placeNames are files seen from elsewhere: another root, another mount, none.
func (s *Session) placeNames() error {
	for _, path := range []string{"/tmp/jail/inside", "/tmp/bound", "/tmp/outside"} {
		if err := writeScript(path); err != nil {
			return err
		}
	}
	inside, err := opened("/tmp/jail/inside")
	if err != nil {
		return err
	}
	outside, err := opened("/tmp/outside")
	if err != nil {
		return err
	}
	for _, f := range []struct {
		what string
		fd   int
	}{{"in a jail", inside}, {"out of a jail", outside}} {
		if err := s.observe(f.what, func() error { return jailed("/tmp/jail", func() error { return mapDescriptor(f.fd) }) }); err != nil {
			return err
		}
	}
	if err := s.observe("exec in a jail", func() error { return jailed("/tmp/jail", func() error { return execName("/inside") }) }); err != nil {
		return err
	}
	if err := unix.Mount("/files/plain", "/tmp/bound", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if err := s.observe("bound", func() error { return mapName("/tmp/bound") }); err != nil {
		return err
	}
	bound, err := unix.Open("/tmp/bound", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Unmount("/tmp/bound", unix.MNT_DETACH); err != nil {
		return err
	}
	return s.observe("bound no more", func() error { return mapDescriptor(bound) })
}

// jailed calls fn with another root directory.
func jailed(dir string, fn func() error) error {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer unix.Close(root)
	if err := unix.Chroot(dir); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	err = fn()
	if e := unix.Fchdir(root); e != nil {
		return e
	}
	if e := unix.Chroot("."); e != nil {
		return e
	}
	return err
}

// longNames are paths of up to more than PATH_MAX.
func (s *Session) longNames() error {
	dir, err := unix.Open("/tmp", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	const step = 250
	for length := len("/tmp"); length < 4500; length += step + 1 {
		part := strings.Repeat("d", step)
		if err := unix.Mkdirat(dir, part, 0o755); err != nil {
			return err
		}
		deeper, err := unix.Openat(dir, part, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if err := unix.Close(dir); err != nil {
			return err
		}
		dir = deeper
		fd, err := unix.Openat(dir, "f", unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o755)
		if err != nil {
			return err
		}
		if err := s.observe(fmt.Sprintf("path of %d bytes", length+step+3), func() error { return mapDescriptor(fd) }); err != nil {
			return err
		}
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
	return unix.Close(dir)
}

// threadNames are those that records show as comm.
func (s *Session) threadNames() error {
	for _, name := range []string{"", "with blank", `with"quote`, "\xc3\xa4\xff", "fifteen letters", "more than fifteen letters", "\x01"} {
		err := s.observe(fmt.Sprintf("thread %q", name), func() error {
			if err := rename(name); err != nil {
				return err
			}
			return s.subject("plain").mapped(page, unix.MAP_PRIVATE)
		})
		if err != nil {
			return err
		}
	}
	return rename("probe")
}
