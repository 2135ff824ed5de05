//go:build guest

package bpf_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
)

// odd is a file whose path is not simply a name.
type odd struct {
	name string
	// open gives a descriptor, in the thread that then uses it.
	open func(t *testing.T) int
	// want is the path if readlink cannot tell.
	want string
}

// oddFiles are made in a directory of their own, in a thread that shares neither root
// nor mounts with others.
func oddFiles(dir string) []odd {
	return append(append(namedFiles(dir), mountedFiles(dir)...), namelessFiles()...)
}

func namedFiles(dir string) []odd {
	long := strings.Repeat("n", 255)
	return []odd{
		{name: "plain", open: fileIn(dir, "plain")},
		{name: "the root", open: opener("/")},
		{name: "a directory", open: opener(dir)},
		{name: "any bytes", open: fileIn(dir, "a \"b\"\n\x01\x7f\x80\xff\xc3\xa9")},
		{name: "255 bytes", open: fileIn(dir, long)},
		{name: "one byte", open: fileIn(dir, "1")},
		{name: "31, 32 and 33 bytes", open: fileIn(dir, long[:31]+"/"+long[:32]+"/"+long[:33])},
		{name: "unlinked", open: func(t *testing.T) int { return unlinked(t, dir+"/gone") }},
		{name: "unlinked, and there again", open: func(t *testing.T) int {
			fd := unlinked(t, dir+"/again")
			unix.Close(fileIn(dir, "again")(t))
			return fd
		}},
		{name: "named as if unlinked", open: fileIn(dir, "x (deleted)")},
		{name: "O_TMPFILE", open: func(t *testing.T) int {
			fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR, 0o700)
			return must(t, fd, err)
		}},
		{name: "renamed", open: func(t *testing.T) int {
			fd := fileIn(dir, "before/x")(t)
			check0(t, os.Rename(dir+"/before", dir+"/after"))
			return fd
		}},
		{name: "in /proc", open: opener("/proc/self/status")},
		{name: "in sysfs", open: opener("/sys/kernel/uevent_seqnum")},
		deepFile("4095 bytes", dir, 4095),
		deepFile("4106 bytes", dir, 4106),
		deepFile("4107 bytes", dir, 4107),
		deepFile("9000 bytes", dir, 9000),
	}
}

func mountedFiles(dir string) []odd {
	return []odd{
		{name: "bind mount", open: func(t *testing.T) int {
			unix.Close(fileIn(dir, "source/x")(t))
			return opener(bind(t, dir+"/source", dir+"/target") + "/x")(t)
		}},
		{name: "bind mount of a file", open: func(t *testing.T) int {
			unix.Close(fileIn(dir, "onto")(t))
			check0(t, unix.Mount("/proc/version", dir+"/onto", "", unix.MS_BIND, ""))
			return opener(dir + "/onto")(t)
		}},
		{name: "three mounts, one over the other", open: func(t *testing.T) int {
			for range 3 {
				check0(t, os.MkdirAll(dir+"/stack", 0o755))
				check0(t, unix.Mount("x", dir+"/stack", "tmpfs", 0, ""))
			}
			return fileIn(dir, "stack/sub/x")(t)
		}},
		{name: "root of a mount", open: func(t *testing.T) int {
			return opener(bind(t, dir, dir+"/self"))(t)
		}},
		{name: "unmounted", open: func(t *testing.T) int {
			check0(t, os.MkdirAll(dir+"/lazy", 0o755))
			check0(t, unix.Mount("x", dir+"/lazy", "tmpfs", 0, ""))
			fd := fileIn(dir, "lazy/sub/x")(t)
			check0(t, unix.Unmount(dir+"/lazy", unix.MNT_DETACH))
			return fd
		}},
		{name: "root of what was unmounted", open: func(t *testing.T) int {
			check0(t, os.MkdirAll(dir+"/lazy2", 0o755))
			check0(t, unix.Mount("x", dir+"/lazy2", "tmpfs", 0, ""))
			fd := opener(dir + "/lazy2")(t)
			check0(t, unix.Unmount(dir+"/lazy2", unix.MNT_DETACH))
			return fd
		}},
		{name: "never mounted", open: func(t *testing.T) int {
			unix.Close(fileIn(dir, "tree/x")(t))
			tree, err := unix.OpenTree(unix.AT_FDCWD, dir+"/tree", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
			fd, err2 := unix.Openat(must(t, tree, err), "x", unix.O_RDONLY, 0)
			return must(t, fd, err2)
		}},
		{name: "moved out of what is mounted", open: func(t *testing.T) int {
			unix.Close(fileIn(dir, "outer/inner/sub/x")(t))
			fd := opener(bind(t, dir+"/outer/inner", dir+"/window") + "/sub/x")(t)
			check0(t, os.Rename(dir+"/outer/inner/sub", dir+"/outer/sub"))
			return fd
		}},
		{name: "unlinked outside of what is mounted", open: func(t *testing.T) int {
			unix.Close(fileIn(dir, "outer2/inner/sub/x")(t))
			fd := opener(bind(t, dir+"/outer2/inner", dir+"/window2") + "/sub/x")(t)
			check0(t, os.Rename(dir+"/outer2/inner/sub", dir+"/outer2/sub"))
			check0(t, os.Remove(dir+"/outer2/sub/x"))
			return fd
		}},
		{name: "mounted namespace", open: func(t *testing.T) int {
			unix.Close(fileIn(dir, "ns")(t))
			check0(t, unix.Mount("/proc/self/ns/uts", dir+"/ns", "", unix.MS_BIND, ""))
			return opener(dir + "/ns")(t)
		}},
		{name: "in a chroot", open: func(t *testing.T) int {
			fd := fileIn(dir, "jail/sub/x")(t)
			check0(t, unix.Chroot(dir+"/jail"))
			return fd
		}},
		{name: "root of a chroot", open: func(t *testing.T) int {
			check0(t, os.MkdirAll(dir+"/jail2", 0o755))
			check0(t, unix.Chroot(dir+"/jail2"))
			return opener("/")(t)
		}},
		{name: "outside of a chroot", open: func(t *testing.T) int {
			fd := fileIn(dir, "free")(t)
			check0(t, os.MkdirAll(dir+"/jail3", 0o755))
			check0(t, unix.Chroot(dir+"/jail3"))
			return fd
		}},
	}
}

func namelessFiles() []odd {
	return []odd{
		{name: "memfd", open: func(t *testing.T) int { return memfdNamed(t, "a b", 0) }},
		{name: "memfd with the longest name", open: func(t *testing.T) int { return memfdNamed(t, strings.Repeat("m", 249), 0) }},
		{name: "memfd without a name", open: func(t *testing.T) int { return memfdNamed(t, "", 0) }},
		{name: "memfd of huge pages", open: func(t *testing.T) int { return memfdNamed(t, "huge", unix.MFD_HUGETLB) }},
		{name: "pipe", open: func(t *testing.T) int {
			var p [2]int
			check0(t, unix.Pipe2(p[:], 0))
			return p[0]
		}},
		{name: "socket", open: func(t *testing.T) int {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			return must(t, fd, err)
		}},
		{name: "eventfd", open: func(t *testing.T) int { fd, err := unix.Eventfd(0, 0); return must(t, fd, err) }},
		{name: "inotify", open: func(t *testing.T) int { fd, err := unix.InotifyInit1(0); return must(t, fd, err) }},
		{name: "pidfd", open: func(t *testing.T) int { fd, err := unix.PidfdOpen(os.Getpid(), 0); return must(t, fd, err) }},
		{name: "mount namespace", open: opener("/proc/self/ns/mnt")},
		{name: "network namespace", open: opener("/proc/self/ns/net")},
		{name: "pid namespace for children", open: opener("/proc/self/ns/pid_for_children")},
	}
}

func must(t *testing.T, fd int, err error) int {
	t.Helper()
	check0(t, err)
	return fd
}

func check0(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func opener(path string) func(*testing.T) int {
	return func(t *testing.T) int {
		fd, err := unix.Open(path, unix.O_RDONLY, 0)
		return must(t, fd, err)
	}
}

// fileIn makes a page of zeros, with the directories above it.
func fileIn(dir, name string) func(*testing.T) int {
	return func(t *testing.T) int {
		path := dir + "/" + name
		check0(t, os.MkdirAll(filepath.Dir(path), 0o755))
		check0(t, os.WriteFile(path, make([]byte, 4096), 0o755))
		return opener(path)(t)
	}
}

func unlinked(t *testing.T, path string) int {
	fd := fileIn(filepath.Dir(path), filepath.Base(path))(t)
	check0(t, os.Remove(path))
	return fd
}

func bind(t *testing.T, from, to string) string {
	check0(t, os.MkdirAll(to, 0o755))
	check0(t, unix.Mount(from, to, "", unix.MS_BIND, ""))
	return to
}

func memfdNamed(t *testing.T, name string, flags int) int {
	fd, err := unix.MemfdCreate(name, flags)
	return must(t, fd, err)
}

// deepFile has a path of just that many bytes, longer than any that can be named at
// once.
func deepFile(name, dir string, size int) odd {
	top := fmt.Sprintf("%s/deep%d", dir, size)
	path := top
	for size-len(path) > 256 {
		path += "/" + strings.Repeat("d", min(200, size-len(path)-2))
	}
	path += "/" + strings.Repeat("f", size-len(path)-1)
	want := path
	if size > 4106 {
		want = "<too_long>"
	}
	return odd{name: name, want: want, open: func(t *testing.T) int {
		check0(t, os.MkdirAll(top, 0o755))
		at := opener(top)(t)
		parts := strings.Split(strings.TrimPrefix(path, top+"/"), "/")
		for _, p := range parts[:len(parts)-1] {
			check0(t, unix.Mkdirat(at, p, 0o755))
			next, err := unix.Openat(at, p, unix.O_RDONLY, 0)
			unix.Close(at)
			at = must(t, next, err)
		}
		defer unix.Close(at)
		fd, err := unix.Openat(at, parts[len(parts)-1], unix.O_RDWR|unix.O_CREAT, 0o755)
		return must(t, fd, err)
	}}
}

// inOwnThread runs fn in a thread that ends with it and has its own root, working
// directory and mounts. It is not the first, which would not end, and of which /proc/self
// tells.
func inOwnThread(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked
		if unix.Gettid() == os.Getpid() {
			defer runtime.UnlockOSThread()
			inOwnThread(fn) // in another one, since this is taken
			return
		}
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			panic(err)
		}
		fn()
	}()
	<-done
}

// TestPaths: the path in a record is what readlink says of the descriptor.
func TestPaths(t *testing.T) {
	e := open(t)
	activate(t, e, engine.Mode{SuccessAudit: true}, "DEFAULT action=ALLOW")
	rec := newRecorder(t, e)
	eachUse(t, func(t *testing.T, u use, fd int, want string) {
		rec.drain()
		tried, err := u.try(fd)
		if !tried {
			return
		}
		ev, ok := rec.next(u.hook)
		if !ok {
			t.Errorf("%s: no record (%v)", u.name, err)
		} else if ev.Path != want {
			t.Errorf("%s: path %q, want %q", u.name, ev.Path, want)
		}
	})
}

// eachUse calls fn for each odd file and each use of it, with the path that it has.
func eachUse(t *testing.T, fn func(t *testing.T, u use, fd int, want string)) {
	for _, o := range oddFiles(scratch(t)) {
		t.Run(o.name, func(t *testing.T) {
			inOwnThread(func() {
				links := opener("/proc/thread-self/fd")(t)
				defer unix.Close(links)
				fd := o.open(t)
				defer unix.Close(fd)
				want := o.want
				if want == "" {
					want = readlink(t, links, fd)
				}
				for _, u := range uses() {
					fn(t, u, fd, want)
				}
			})
		})
	}
}

func scratch(t *testing.T) string {
	t.Helper()
	check0(t, os.MkdirAll("/tmp/paths", 0o755))
	dir, err := os.MkdirTemp("/tmp/paths", "")
	check0(t, err)
	return dir
}

func readlink(t *testing.T, links, fd int) string {
	t.Helper()
	buf := make([]byte, 8192)
	n, err := unix.Readlinkat(links, strconv.Itoa(fd), buf)
	check0(t, err)
	return string(buf[:n])
}

// use is one way to have a descriptor judged. It reports whether there was one.
type use struct {
	name string
	hook eval.Hook
	try  func(fd int) (bool, error)
}

func uses() []use {
	return []use{
		{"mmap", eval.HookMmap, func(fd int) (bool, error) {
			mem, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
			if err == nil {
				err = unix.Munmap(mem)
			}
			return true, err // a noexec mount refuses only after we were asked
		}},
		{"mprotect", eval.HookMprotect, func(fd int) (bool, error) {
			mem, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE)
			if err != nil {
				return false, nil
			}
			defer unix.Munmap(mem)
			err = unix.Mprotect(mem, unix.PROT_READ|unix.PROT_EXEC)
			return !errors.Is(err, unix.EACCES), err // a noexec mount refuses before
		}},
		{"execveat", eval.HookBprmCheck, func(fd int) (bool, error) {
			errno := execDescriptor(fd)
			return errno == unix.ENOEXEC, errno // else it is nothing that could be a program
		}},
		{"finit_module", eval.HookKernelRead, func(fd int) (bool, error) {
			var st unix.Stat_t
			if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size == 0 {
				return false, nil
			}
			return true, unix.FinitModule(fd, "", 0)
		}},
	}
}

func execDescriptor(fd int) unix.Errno {
	empty := [1]byte{}
	none := [1]*byte{}
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(&empty[0])),
		uintptr(unsafe.Pointer(&none[0])), uintptr(unsafe.Pointer(&none[0])), unix.AT_EMPTY_PATH, 0)
	return errno
}

// TestPathsOfMemory: files that the kernel makes for memory have no descriptor.
func TestPathsOfMemory(t *testing.T) {
	e := open(t)
	activate(t, e, engine.Mode{SuccessAudit: true}, "DEFAULT action=ALLOW")
	rec := newRecorder(t, e)
	for _, m := range memories() {
		rec.drain()
		if err := m.try(); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		ev, ok := rec.next(m.hook)
		if !ok || ev.Path != m.path {
			t.Errorf("%s: path %q, %v, want %q", m.name, ev.Path, ok, m.path)
		}
	}
}

const shmExec = 0o100000 // SHM_EXEC

type memory struct {
	name, path string
	hook       eval.Hook
	try        func() error
}

func memories() []memory {
	return []memory{
		{"private", "", eval.HookMmap, mapAnonymous},
		{"shared", "/dev/zero (deleted)", eval.HookMprotect, func() error { return protectAnonymous(unix.MAP_SHARED) }},
		{"huge pages", "/anon_hugepage (deleted)", eval.HookMmap, func() error {
			mem, err := unix.Mmap(-1, 0, 2<<20, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_HUGETLB|unix.MAP_NORESERVE)
			if err != nil {
				return err
			}
			return unix.Munmap(mem)
		}},
		{"System V", "/SYSV0000abcd (deleted)", eval.HookMmap, func() error {
			id, err := unix.SysvShmGet(0xabcd, 4096, unix.IPC_CREAT|0o700)
			if err != nil {
				return err
			}
			mem, err := unix.SysvShmAttach(id, 0, shmExec)
			if err != nil {
				return err
			}
			_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
			return errors.Join(err, unix.SysvShmDetach(mem))
		}},
	}
}

// TestPathsWhileRenaming: a path that changes all the time is one of those it had.
func TestPathsWhileRenaming(t *testing.T) {
	e := open(t)
	activate(t, e, engine.Mode{SuccessAudit: true}, "DEFAULT action=ALLOW")
	dir := scratch(t)
	a, b := dir+"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", dir+"/b"
	fd := fileIn(a, "c/x")(t)
	defer unix.Close(fd)
	stop := make(chan struct{})
	moved := make(chan error, 1)
	go func() {
		for {
			for _, err := range []error{os.Rename(a, b), os.Rename(b+"/c", b+"/d"), os.Rename(b+"/d", b+"/c"), os.Rename(b, a)} {
				if err != nil {
					moved <- err
					return
				}
			}
			select {
			case <-stop:
				moved <- nil
				return
			default:
			}
		}
	}()
	rec := newRecorder(t, e)
	seen := map[string]int{}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		rec.drain()
		uses()[0].try(fd)
		ev, ok := rec.next(eval.HookMmap)
		if !ok {
			t.Fatal("no record")
		}
		seen[ev.Path]++
	}
	close(stop)
	check0(t, <-moved)
	for path := range seen {
		switch path {
		case a + "/c/x", b + "/c/x", b + "/d/x":
		default:
			t.Errorf("%q, %d times", path, seen[path])
		}
	}
	t.Log(seen)
}
