//go:build guest

package bpf_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

const ftraceSysctl = "/proc/sys/kernel/ftrace_enabled"

// way is one way of writing to the sysctl.
type way struct {
	name  string
	write func(t *testing.T, text string) error
	// file is an open one that it writes to, if it does: the kernel ignores what is not
	// written to its beginning.
	file *os.File
}

func (w way) rewind(t *testing.T) {
	t.Helper()
	if w.file != nil {
		_, err := w.file.Seek(0, io.SeekStart)
		check0(t, err)
	}
}

// ways are all that reach it. Descriptors are opened now.
func ways(t *testing.T, group string) []way {
	t.Helper()
	early := openSysctl(t, ftraceSysctl)
	proc := filepath.Join(t.TempDir(), "proc")
	check0(t, os.Mkdir(proc, 0o755))
	check0(t, unix.Mount("proc", proc, "proc", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(proc, unix.MNT_DETACH) })
	other := openSysctl(t, filepath.Join(proc, "sys/kernel/ftrace_enabled"))
	fd := int(early.Fd())
	return []way{
		{"opened now", func(_ *testing.T, text string) error { return bare(os.WriteFile(ftraceSysctl, []byte(text), 0)) }, nil},
		{"opened before", func(_ *testing.T, text string) error { _, err := unix.Write(fd, []byte(text)); return err }, early},
		{"another procfs", func(_ *testing.T, text string) error { _, err := unix.Write(int(other.Fd()), []byte(text)); return err }, other},
		{"pwrite", func(_ *testing.T, text string) error { _, err := unix.Pwrite(fd, []byte(text), 0); return err }, early},
		{"writev", func(_ *testing.T, text string) error { _, err := unix.Writev(fd, [][]byte{[]byte(text)}); return err }, early},
		{"pwritev2", func(_ *testing.T, text string) error {
			_, err := unix.Pwritev2(fd, [][]byte{[]byte(text)}, 0, 0)
			return err
		}, nil},
		{"splice", func(t *testing.T, text string) error { return splice(t, fd, text) }, early},
		{"sendfile", func(t *testing.T, text string) error { return sendfile(t, fd, text) }, early},
		{"io_uring", func(t *testing.T, text string) error { return uringWrite(t, fd, text, 0) }, early},
		{"io_uring, in a worker", func(t *testing.T, text string) error { return uringWrite(t, fd, text, sqeAsync) }, early},
		{"in a child group", func(t *testing.T, text string) error { return elsewhere(t, text, group, 0) }, nil},
		{"in namespaces", func(t *testing.T, text string) error {
			return elsewhere(t, text, "", unix.CLONE_NEWNS|unix.CLONE_NEWPID|unix.CLONE_NEWNET|unix.CLONE_NEWIPC|unix.CLONE_NEWUTS)
		}, nil},
		{"in a child group that is the root of a namespace", func(t *testing.T, text string) error {
			return elsewhere(t, text, group, unix.CLONE_NEWCGROUP)
		}, nil},
	}
}

func bare(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

func openSysctl(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	check0(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func splice(t *testing.T, fd int, text string) error {
	r, w, err := os.Pipe()
	check0(t, err)
	defer r.Close()
	_, err = w.WriteString(text)
	check0(t, errors.Join(err, w.Close()))
	_, err = unix.Splice(int(r.Fd()), nil, fd, nil, len(text), 0)
	return err
}

func sendfile(t *testing.T, fd int, text string) error {
	f, err := os.CreateTemp(t.TempDir(), "")
	check0(t, err)
	defer f.Close()
	_, err = f.WriteString(text)
	check0(t, err)
	_, err = f.Seek(0, io.SeekStart)
	check0(t, err)
	_, err = unix.Sendfile(fd, int(f.Fd()), nil, len(text))
	return err
}

// elsewhere has another process write, in a control group and new namespaces.
func elsewhere(t *testing.T, text, group string, namespaces uintptr) error {
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestEngineFtraceWriter$", "-test.v")
	cmd.Env = append(os.Environ(), "FTRACE_TEXT="+text, "FTRACE_GROUP="+group)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: namespaces &^ unix.CLONE_NEWPID, Cloneflags: namespaces & unix.CLONE_NEWPID}
	if group != "" {
		dir, err := os.Open(group)
		check0(t, err)
		defer dir.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	}
	out, err := cmd.CombinedOutput()
	_, answer, ok := strings.Cut(string(out), "wrote: ")
	if err != nil || !ok {
		t.Fatalf("%v: %s", err, out)
	}
	var errno int
	if _, err := fmt.Sscan(answer, &errno); err != nil {
		t.Fatal(err)
	}
	if errno != 0 {
		return syscall.Errno(errno)
	}
	return nil
}

// TestEngineFtraceWriter is that other process. By itself it proves that the text of the
// sysctl can be written back.
func TestEngineFtraceWriter(t *testing.T) {
	text, path := os.Getenv("FTRACE_TEXT"), ftraceSysctl
	if text == "" {
		text = "1"
	}
	if os.Getpid() == 1 { // in a process namespace of its own, with a procfs of its own
		check0(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		check0(t, unix.Mount("proc", "/proc", "proc", 0, ""))
	}
	var errno syscall.Errno
	if err := os.WriteFile(path, []byte(text), 0); err != nil && !errors.As(err, &errno) {
		t.Fatal(err)
	}
	fmt.Println("wrote:", int(errno))
	if os.Getenv("FTRACE_TEXT") == "" && errno != 0 {
		t.Error(errno)
	}
}

const (
	sqeWrite = 23 // IORING_OP_WRITE
	sqeAsync = 16 // IOSQE_ASYNC
)

// uringWrite writes by io_uring, with the flags of its entry.
func uringWrite(t *testing.T, fd int, text string, flags uint8) error {
	t.Helper()
	data := []byte(text)
	answer, err := uring(func(_ uintptr, entry []byte) error {
		entry[0], entry[1] = sqeWrite, flags
		*(*int32)(unsafe.Pointer(&entry[4])) = int32(fd)
		*(*uint64)(unsafe.Pointer(&entry[16])) = uint64(uintptr(unsafe.Pointer(&data[0])))
		*(*uint32)(unsafe.Pointer(&entry[24])) = uint32(len(data))
		return nil
	})
	runtime.KeepAlive(data)
	switch {
	case err != nil:
		t.Fatal(err)
	case answer < 0:
		return syscall.Errno(-answer)
	case int(answer) != len(text):
		return fmt.Errorf("%d of %d bytes written", answer, len(text))
	}
	return nil
}

// uringOpen opens a file for writing in a worker of io_uring.
func uringOpen(path string) error {
	name := append([]byte(path), 0)
	answer, err := uring(func(_ uintptr, entry []byte) error {
		const openAt, atCwd = 18, -100 // IORING_OP_OPENAT
		entry[0], entry[1] = openAt, sqeAsync
		*(*int32)(unsafe.Pointer(&entry[4])) = atCwd
		*(*uint64)(unsafe.Pointer(&entry[16])) = uint64(uintptr(unsafe.Pointer(&name[0])))
		*(*uint32)(unsafe.Pointer(&entry[28])) = unix.O_RDWR
		return nil
	})
	runtime.KeepAlive(name)
	if err == nil && answer < 0 {
		err = syscall.Errno(-answer)
	}
	return err
}

// uring has the kernel do what one entry asks for, and returns its answer.
func uring(fill func(ring uintptr, entry []byte) error) (answer int32, err error) {
	var params [120]byte // struct io_uring_params
	ring, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return 0, fmt.Errorf("io_uring_setup: %w", errno)
	}
	defer unix.Close(int(ring))
	at := func(offset int) uint32 { return *(*uint32)(unsafe.Pointer(&params[offset])) }
	const sqOff, cqOff = 40, 80
	var maps [3][]byte // the two queues and the entries
	for i, offset := range []int64{0, 0x8000000, 0x10000000} {
		if maps[i], err = unix.Mmap(int(ring), offset, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
			return 0, fmt.Errorf("map the ring: %w", err)
		}
		defer unix.Munmap(maps[i])
	}
	sq, cq := maps[0], maps[1]
	if err := fill(ring, maps[2]); err != nil {
		return 0, err
	}
	*(*uint32)(unsafe.Pointer(&sq[at(sqOff+24)])) = 0                  // array[0]
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&sq[at(sqOff+4)])), 1) // tail
	if err := submit(ring, (*uint32)(unsafe.Pointer(&cq[at(cqOff+4)]))); err != nil {
		return 0, err
	}
	return *(*int32)(unsafe.Pointer(&cq[at(cqOff+20)+8])), nil // cqes[0].res
}

// submit hands the one entry in, and returns when it is answered. A signal, as the
// runtime of Go sends them, ends the wait; io_uring_enter(2) then tells what was handed
// in and no error.
func submit(ring uintptr, answered *uint32) error {
	const getEvents = 1
	for handIn := uintptr(1); atomic.LoadUint32(answered) == 0; handIn = 0 {
		_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, ring, handIn, 1, getEvents, 0, 0)
		if errno != 0 && errno != unix.EINTR {
			return fmt.Errorf("io_uring_enter: %w", errno)
		}
	}
	return nil
}
