//go:build guest

package fs_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// call is something that a shell does not do to a file.
type call struct {
	name string
	do   func(*caller) string
	// kernel is what came of it on the kernel's tree; ours what comes of it on ours, if
	// that differs, with a bar between what kernels do differently. LIMITATIONS.md has all
	// of these.
	kernel, ours string
}

// caller calls on a tree.
type caller struct {
	testing.TB
	dir string
}

// fd opens a file of the tree.
func (c *caller) fd(name string, flags int) int {
	c.Helper()
	fd, err := unix.Open(filepath.Join(c.dir, name), flags|unix.O_CLOEXEC, 0)
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { unix.Close(fd) })
	return fd
}

// result is an errno, or what else there is to say.
func result(err error, ok ...any) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return unix.ErrnoName(errno)
	}
	return fmt.Sprint(ok...)
}

// seek tries one way to seek in a file with one byte.
func seek(whence int) func(*caller) string {
	return func(c *caller) string {
		_, err := unix.Seek(c.fd("enforce", unix.O_RDWR), 0, whence)
		return result(err, "ok")
	}
}

// put is one write.
func put(name string, data func(*caller) []byte) func(*caller) string {
	return func(c *caller) string {
		n, err := unix.Write(c.fd(name, unix.O_WRONLY), data(c))
		return result(err, n)
	}
}

func text(s string) func(*caller) []byte { return func(*caller) []byte { return []byte(s) } }

const page = 4096

// broken is two pages that begin with s, of which as many as said can be read.
func broken(s string, readable int) func(*caller) []byte {
	return func(c *caller) []byte {
		c.Helper()
		mem, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			c.Fatal(err)
		}
		c.Cleanup(func() { unix.Munmap(mem) })
		copy(mem, s)
		if err := unix.Mprotect(mem[readable*page:], unix.PROT_NONE); err != nil {
			c.Fatal(err)
		}
		return mem
	}
}

// unprivileged does something without CAP_MAC_ADMIN.
func unprivileged(do func(*caller) string) func(*caller) string {
	return func(c *caller) (got string) {
		withoutCapability(c, func() { got = do(c) })
		return got
	}
}

func readInto(name string, data func(*caller) []byte) func(*caller) string {
	return func(c *caller) string {
		n, err := unix.Read(c.fd(name, unix.O_RDONLY), data(c))
		return result(err, n)
	}
}

func preads(c *caller) string {
	fd, b := c.fd("policies/calls/version", unix.O_RDONLY), make([]byte, 16)
	var got string
	for _, at := range []int64{0, 3, 6, 1 << 40, 1} {
		n, err := unix.Pread(fd, b, at)
		got += result(err, string(b[:max(n, 0)])) + ";"
	}
	n, err := unix.Read(fd, b)
	return got + result(err, string(b[:max(n, 0)]))
}

func pwrite(c *caller) string {
	n, err := unix.Pwrite(c.fd("enforce", unix.O_WRONLY), []byte("1"), 77)
	return result(err, n)
}

// writev sets success_audit by two pieces, and tells what it then is.
func writev(c *caller) string {
	fd := c.fd("success_audit", unix.O_RDWR)
	n, err := unix.Writev(fd, [][]byte{[]byte("1"), []byte("0")})
	b := make([]byte, 1)
	if _, err := unix.Pread(fd, b, 0); err != nil {
		c.Error(err)
	}
	return result(err, n, " then ", string(b))
}

func readv(c *caller) string {
	a, b := make([]byte, 2), make([]byte, 16)
	n, err := unix.Readv(c.fd("policies/calls/version", unix.O_RDONLY), [][]byte{a, b})
	return result(err, n)
}

func mmap(flags int) func(*caller) string {
	return func(c *caller) string {
		_, err := unix.Mmap(c.fd("policies/calls/policy", unix.O_RDONLY), 0, page, unix.PROT_READ, flags)
		return result(err, "mapped")
	}
}

func poll(c *caller) string {
	fds := []unix.PollFd{{Fd: int32(c.fd("enforce", unix.O_RDWR)), Events: unix.POLLIN | unix.POLLOUT}}
	_, err := unix.Poll(fds, 0)
	return result(err, fds[0].Revents)
}

func ioctl(c *caller) string {
	_, err := unix.IoctlGetInt(c.fd("enforce", unix.O_RDWR), unix.TIOCGPGRP)
	return result(err, "ok")
}

func truncate(c *caller) string {
	return result(unix.Ftruncate(c.fd("enforce", unix.O_RDWR), 0), "ok")
}

// chmod makes a file readable by all, looks, and goes back.
func chmod(c *caller) string {
	name := filepath.Join(c.dir, "enforce")
	err := unix.Chmod(name, 0o644)
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		c.Error(err)
	}
	got := result(err, fmt.Sprintf("%o", st.Mode))
	if err := unix.Chmod(name, 0o600); err != nil {
		c.Errorf("back: %v", err)
	}
	return got
}

func chown(c *caller) string {
	name := filepath.Join(c.dir, "policies/calls")
	err := unix.Chown(name, 1, 2)
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		c.Error(err)
	}
	got := result(err, st.Uid, " ", st.Gid)
	if err := unix.Chown(name, 0, 0); err != nil {
		c.Errorf("back: %v", err)
	}
	return got
}

func xattr(c *caller) string {
	_, err := unix.Getxattr(filepath.Join(c.dir, "enforce"), "user.x", nil)
	return result(err, "ok")
}

func setXattr(c *caller) string {
	return result(unix.Setxattr(filepath.Join(c.dir, "enforce"), "user.x", []byte("1"), 0), "ok")
}

func open(flags int) func(*caller) string {
	return func(c *caller) string {
		fd, err := unix.Open(filepath.Join(c.dir, "enforce"), flags|unix.O_CLOEXEC, 0o600)
		if err == nil {
			unix.Close(fd)
		}
		return result(err, "ok")
	}
}

func fallocate(c *caller) string {
	return result(unix.Fallocate(c.fd("enforce", unix.O_RDWR), 0, 0, 1), "ok")
}

func fsync(c *caller) string { return result(unix.Fsync(c.fd("enforce", unix.O_RDWR)), "ok") }

// sendfileTo copies a file of one byte to a node.
func sendfileTo(c *caller) string {
	n, err := unix.Sendfile(c.fd("enforce", unix.O_WRONLY), ordinary(c), nil, 16)
	return result(err, n)
}

// sendfile copies a node into a file, and goes on as a program does that has tried a
// quick way first: it reads the rest. Both together are the content.
func sendfile(c *caller, from int) string {
	to := ordinary(c)
	if err := unix.Ftruncate(to, 0); err != nil {
		c.Fatal(err)
	}
	n, err := unix.Sendfile(to, from, nil, 16)
	if _, err := unix.Seek(to, 0, unix.SEEK_SET); err != nil {
		c.Fatal(err)
	}
	return result(err, n) + " " + read(to) + "; " + read(from)
}

// splice is the same by way of a pipe.
func splice(c *caller, from int) string {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { unix.Close(ends[0]) })
	n, err := unix.Splice(from, nil, ends[1], nil, 16, 0)
	unix.Close(ends[1])
	return result(err, n) + " " + read(ends[0]) + "; " + read(from)
}

func read(fd int) string {
	b := make([]byte, 16)
	n, err := unix.Read(fd, b)
	return result(err, string(b[:max(n, 0)]))
}

func quick(name string, way func(*caller, int) string) func(*caller) string {
	return func(c *caller) string { return way(c, c.fd(name, unix.O_RDONLY)) }
}

// statThen looks at what is open first, which tells the kernel its size anew.
func statThen(way func(*caller, int) string) func(*caller, int) string {
	return func(c *caller, fd int) string {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Size != 0 {
			c.Errorf("size %d, %v; want 0", st.Size, err)
		}
		return way(c, fd)
	}
}

func copyRange(from, to func(*caller) int) func(*caller) string {
	return func(c *caller) string {
		n, err := unix.CopyFileRange(from(c), nil, to(c), nil, 1, 0)
		return result(err, n)
	}
}

func node(name string, flags int) func(*caller) int {
	return func(c *caller) int { return c.fd(name, flags) }
}

// ordinary is a file outside the tree that holds a 1.
func ordinary(c *caller) int {
	name := filepath.Join(c.TempDir(), "one")
	if err := os.WriteFile(name, []byte("1"), 0o600); err != nil {
		c.Fatal(err)
	}
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { unix.Close(fd) })
	return fd
}

// blob is a file of /blobs.
func blob(name string) func(*caller) []byte {
	return func(c *caller) []byte {
		c.Helper()
		data, err := os.ReadFile("/blobs/" + name)
		if err != nil {
			c.Fatal(err)
		}
		return data
	}
}

// brokenBlob is a blob whose end cannot be read.
func brokenBlob(name string) func(*caller) []byte {
	return func(c *caller) []byte { return broken(string(blob(name)(c)[:page]), 1)(c) }
}

func statfs(c *caller) string {
	var st unix.Statfs_t
	err := unix.Statfs(c.dir, &st)
	return result(err, fmt.Sprintf("%x", st.Type))
}

func inode(c *caller) string {
	var st unix.Stat_t
	err := unix.Stat(filepath.Join(c.dir, "policies/calls/policy"), &st)
	return result(err, st.Size, " ", st.Blocks)
}

func advance(c *caller) string {
	fd, b := c.fd("policies/calls/version", unix.O_RDONLY), make([]byte, 3)
	var got string
	for range 4 {
		n, err := unix.Read(fd, b)
		got += result(err, string(b[:max(n, 0)])) + ";"
	}
	return got
}

// handedDown opens with less rights than it writes with.
func handedDown(c *caller) string {
	var fd int
	withoutCapability(c, func() { fd = c.fd("enforce", unix.O_WRONLY) })
	n, err := unix.Write(fd, []byte("1"))
	return result(err, n)
}

// handedUp opens with more rights than it writes with.
func handedUp(c *caller) string {
	fd := c.fd("enforce", unix.O_WRONLY)
	return unprivileged(func(*caller) string {
		n, err := unix.Write(fd, []byte("1"))
		return result(err, n)
	})(c)
}

// otherNamespace is root with all capabilities of a user namespace of its own. What
// the shell opens is not truncated.
func otherNamespace(c *caller) string {
	cmd := exec.CommandContext(c.Context(), "sh", "-c", `cat enforce && cat /blobs/word >>enforce`)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{Size: 1}}, GidMappings: []syscall.SysProcIDMap{{Size: 1}}}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)) + result(err, ", exit status of cat: ", cmd.ProcessState.ExitCode())
}

// calls are in an order: later ones see what earlier ones did.
func calls() []call {
	return []call{
		{"lseek SEEK_SET", seek(unix.SEEK_SET), "ESPIPE", "ok"},
		{"lseek SEEK_CUR", seek(unix.SEEK_CUR), "ESPIPE", "ok"},
		{"lseek SEEK_END", seek(unix.SEEK_END), "ESPIPE", "ok"},
		{"lseek SEEK_DATA", seek(unix.SEEK_DATA), "ESPIPE", ""},
		{"lseek SEEK_HOLE", seek(unix.SEEK_HOLE), "ESPIPE", ""},
		{"reads of three bytes", advance, "1.0;.0;;;", ""},
		{"pread", preads, "1.0.0;.0;;;.0.0;1.0.0", ""},
		{"pwrite", pwrite, "1", ""},
		{"readv", readv, "5", ""},
		{"writev in two pieces", writev, "2 then 0", "2 then 1"},
		{"write of nothing to enforce", put("enforce", text("")), "EINVAL", "0"},
		{"write of nothing to active", put("policies/calls/active", text("")), "EINVAL", "0"},
		{"write of nothing to new_policy", put("new_policy", text("")), "EBADMSG", "0"},
		{"write of nothing to update", put("policies/calls/update", text("")), "EBADMSG", "0"},
		{"write of nothing, unprivileged", unprivileged(put("enforce", text(""))), "EPERM", "0"},
		{"write from unreadable memory", put("enforce", broken("", 0)), "EFAULT", ""},
		{"the same to new_policy", put("new_policy", broken("", 0)), "EFAULT", ""},
		{"the same to update", put("policies/calls/update", broken("", 0)), "EFAULT", ""},
		{"the same to delete", put("policies/calls/delete", broken("", 0)), "EFAULT", ""},
		{"the same, unprivileged", unprivileged(put("enforce", broken("", 0))), "EPERM", "EFAULT"},
		{"the same to a file for reading", put("policies/calls/name", broken("", 0)), "EINVAL", "EFAULT"},
		{"write whose end is unreadable", put("enforce", broken("1", 1)), "8192", "4096"},
		{"the same to new_policy", put("new_policy", brokenBlob("max")), "EFAULT", "EBADMSG"},
		{"read into unreadable memory", readInto("enforce", broken("", 0)), "EFAULT", ""},
		{"read of nothing", readInto("enforce", text("")), "0", ""},
		{"mmap shared", mmap(unix.MAP_SHARED), "ENODEV", ""},
		{"mmap private", mmap(unix.MAP_PRIVATE), "ENODEV", "mapped"},
		{"poll", poll, fmt.Sprint(unix.POLLIN | unix.POLLOUT), ""},
		{"ioctl", ioctl, "ENOTTY", ""},
		{"fsync", fsync, "EINVAL", ""},
		{"ftruncate", truncate, "ok", ""},
		{"fallocate", fallocate, "ENOTSUP", ""},
		{"chmod", chmod, "100644", ""},
		{"chown", chown, "1 2", ""},
		{"getxattr", xattr, "ENOTSUP", ""},
		{"setxattr", setXattr, "ENOTSUP", ""},
		{"open O_CREAT|O_EXCL", open(unix.O_RDWR | unix.O_CREAT | unix.O_EXCL), "EEXIST", ""},
		{"open O_CREAT", open(unix.O_RDWR | unix.O_CREAT), "ok", ""},
		{"open O_DIRECTORY", open(unix.O_DIRECTORY), "ENOTDIR", ""},
		{"open O_DIRECT", open(unix.O_RDWR | unix.O_DIRECT), "EINVAL", "ok"},
		{"open O_TRUNC|O_APPEND", open(unix.O_WRONLY | unix.O_TRUNC | unix.O_APPEND), "ok", ""},
		{"sendfile from a node", quick("enforce", sendfile), "EINVAL ; 1", "EINVAL ; 1|EIO ; 1|1 1; "},
		{"sendfile from a node after stat", quick("enforce", statThen(sendfile)), "EINVAL ; 1", "EINVAL ; 1|EIO ; 1|1 1; "},
		{"sendfile from a file without content", quick("new_policy", sendfile), "EINVAL ; EINVAL", "EINVAL ; EINVAL|EIO ; EINVAL"},
		{"splice from a node", quick("enforce", splice), "EINVAL ; 1", "EINVAL ; 1|EIO ; 1|1 1; "},
		{"splice from a node after stat", quick("policies/calls/version", statThen(splice)), "EINVAL ; 1.0.0", "EINVAL ; 1.0.0|EIO ; 1.0.0|5 1.0.0; "},
		{"sendfile to a node", sendfileTo, "EINVAL", "1"},
		{"copy_file_range from a node", copyRange(node("enforce", unix.O_RDONLY), ordinary), "EXDEV", ""},
		{"copy_file_range to a node", copyRange(ordinary, node("enforce", unix.O_WRONLY)), "EXDEV", ""},
		{"opened without the capability, handed to a holder", handedDown, "EPERM", ""},
		{"opened with it, handed to somebody without", handedUp, "1", ""},
		{"root of another user namespace", otherNamespace, "1cat: write error: Operation not permitted, exit status of cat: 1", ""},
		{"size and blocks", inode, "0 0", ""},
		{"statfs", statfs, "73636673", fmt.Sprintf("%x", unix.FUSE_SUPER_MAGIC)},
		{"65535 bytes, the longest message", put("new_policy", blob("max")), "65535", ""},
		{"65536 bytes", put("new_policy", blob("over")), "EMSGSIZE", ""},
		{"65536 bytes to update", put("policies/calls/update", blob("over")), "EMSGSIZE", ""},
	}
}

func testCalls(t *testing.T, dir string) {
	if got := put("new_policy", blob("calls"))(&caller{t, dir}); got == "EEXIST" || unix.Access(filepath.Join(dir, "policies/calls"), unix.F_OK) != nil {
		t.Fatalf("load calls: %s", got)
	}
	noPoll(t, filepath.Join(dir, "enforce"))
	for _, c := range calls() {
		want := c.kernel
		if dir != kernelTree && c.ours != "" {
			want = c.ours
		}
		t.Run(c.name, func(t *testing.T) {
			if got := c.do(&caller{t, dir}); !slices.Contains(strings.Split(want, "|"), got) {
				t.Errorf("%s: %s, want %s", dir, got, want)
			}
		})
	}
}
