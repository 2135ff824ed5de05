//go:build guest

package bpf_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/attack"
	"github.com/ipe-linux/ipe/internal/strict"
)

// technique is one: what it does is done by another process, which may be killed.
type technique struct {
	name string
	rule strict.Rule // None for what no rule refuses
	try  func() error
	// errno is what the kernel makes of the refusal, if not EACCES.
	errno syscall.Errno
}

// uringPinned is one that not each kernel has on all files.
const uringPinned = "io_uring writes what was pinned before"

// techniques are all of them, and beside them what is like them and must go on.
func techniques() []technique {
	const r, rx, rw, rwx = attack.Readable, attack.Executable, attack.Writable, attack.Both
	return []technique{
		{"map a file writable and executable", strict.MapWX, func() error { _, err := attack.MapSelf(rwx); return err }, 0},
		{"map it executable", strict.None, func() error { _, err := attack.MapSelf(rx); return err }, 0},
		{"make code writable", strict.ProtectWX, steps(rx, attack.Step{Protection: rwx}), 0},
		{"write, then execute", strict.ExecMod, steps(rw, attack.Step{Write: true, Protection: rx}), 0},
		{"write code, then execute again", strict.ExecMod, steps(rx, attack.Step{Protection: rw}, attack.Step{Write: true, Protection: rx}), 0},
		{"code becomes data and code again", strict.None, steps(rx, attack.Step{Protection: rw}, attack.Step{Protection: rx}), 0},
		{"data becomes code", strict.None, steps(r, attack.Step{Protection: rx}), 0},
		{"write, then execute, by a key", strict.ExecMod, byKey, 0},
		{uringPinned, strict.ExecMod, writePinned, 0},
		{"write to /proc/self/mem", strict.ProcMem, opens0("/proc/self/mem", unix.O_RDWR), 0},
		{"write to a thread's mem", strict.ProcMem, opens0("/proc/thread-self/mem", unix.O_WRONLY), 0},
		{"write to it in a worker of io_uring", strict.ProcMem, func() error { return uringOpen("/proc/self/mem") }, 0},
		{"read /proc/self/mem", strict.None, opens0("/proc/self/mem", unix.O_RDONLY), 0},
		{"write to another file of procfs", strict.None, opens0("/proc/self/comm", unix.O_WRONLY), 0},
		{"attach to a process", strict.Ptrace, onChild(func(pid int) error { return unix.PtraceSeize(pid) }), 0},
		{"write to its memory", strict.Ptrace, onChild(writeTo), unix.EPERM},
		{"take its descriptor", strict.Ptrace, onChild(takeFrom), unix.EPERM},
		{"look at it", strict.None, onChild(func(pid int) error { _, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); return err }), 0},
		{"have oneself traced", strict.TraceMe, traceMe, 0},
		{"userfaultfd", strict.Userfaultfd, attack.Userfaultfd, 0},
		{"/dev/userfaultfd", strict.Userfaultfd, userfaultDevice, 0},
		{"another anonymous inode", strict.None, func() error { return attack.Call(unix.SYS_EVENTFD2, 0, 0, 0) }, 0},
		{"execute with an executable stack", strict.ExecStack, func() error { return runProgram("stack") }, 0},
		{"execute without", strict.None, func() error { return runProgram("no-stack") }, 0},
		{"make what is readable executable", strict.Personality, attack.MakeReadableExecutable, 0},
		{"the same, as a 32-bit program", strict.Personality, func() error { return runProgram("personality32") }, 0},
		{"ask for the personality", strict.None, func() error { return attack.Call(unix.SYS_PERSONALITY, 0xffffffff, 0, 0) }, 0},
		{"more memory", strict.None, func() error { return attack.Call(unix.SYS_BRK, 0, 0, 0) }, 0},
	}
}

// steps maps a page and protects it anew.
func steps(first int, rest ...attack.Step) func() error {
	return func() error { return attack.Protect(first, rest...) }
}

// opens0 opens a file for a moment.
func opens0(path string, flags int) func() error {
	return func() error { return attack.Open(path, flags) }
}

func byKey() error {
	mem, err := attack.MapSelf(attack.Writable)
	if err != nil {
		return err
	}
	mem[100]++
	noKey := ^uintptr(0)
	_, _, errno := unix.Syscall6(unix.SYS_PKEY_MPROTECT, uintptr(unsafe.Pointer(&mem[0])), uintptr(len(mem)), unix.PROT_READ|unix.PROT_EXEC, noKey, 0, 0)
	runtime.KeepAlive(mem)
	if errno != 0 {
		return errno
	}
	return nil
}

// writePinned has io_uring write to code: it has pinned the memory while that was data.
func writePinned() error {
	const readFixed, registerBuffers = 4, 0 // IORING_OP_READ_FIXED, IORING_REGISTER_BUFFERS
	mem, err := attack.MapSelf(attack.Writable)
	if err != nil {
		return err
	}
	from, err := unix.MemfdCreate("code", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	code := slices.Repeat([]byte{0xcc}, len(mem))
	if _, err := unix.Write(from, code); err != nil {
		return err
	}
	_, err = uring(func(ring uintptr, entry []byte) error {
		all := unix.Iovec{Base: &mem[0], Len: uint64(len(mem))}
		if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, ring, registerBuffers, uintptr(unsafe.Pointer(&all)), 1, 0, 0); errno != 0 {
			return fmt.Errorf("pin: %w", errno)
		}
		entry[0] = readFixed
		*(*int32)(unsafe.Pointer(&entry[4])) = int32(from)
		*(*uint64)(unsafe.Pointer(&entry[16])) = uint64(uintptr(unsafe.Pointer(&mem[0])))
		*(*uint32)(unsafe.Pointer(&entry[24])) = uint32(len(mem))
		return unix.Mprotect(mem, unix.PROT_READ|unix.PROT_EXEC)
	})
	if err == nil && !bytes.Equal(mem, code) {
		err = errors.New("code is as it was")
	}
	return err
}

// onChild does something to a process that waits.
func onChild(do func(pid int) error) func() error {
	return func() error {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestEngineStrictWaits$")
		cmd.Env = append(os.Environ(), "STRICT_WAITS=1")
		in, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		// Until it has said something it may have our memory still.
		if _, err := out.Read(make([]byte, 1)); err != nil {
			return err
		}
		runtime.LockOSThread()
		err = do(cmd.Process.Pid)
		return errors.Join(err, in.Close(), ignore(cmd.Process.Kill()), ignore(cmd.Wait()))
	}
}

func ignore(error) error { return nil }

func writeTo(pid int) error {
	var word [8]byte
	local := []unix.Iovec{{Base: &word[0], Len: 8}}
	remote := []unix.RemoteIovec{{Base: uintptr(unsafe.Pointer(&attackedWord)), Len: 8}}
	_, err := unix.ProcessVMWritev(pid, local, remote, 0)
	return err
}

// attackedWord is at the same place in each process of this program.
var attackedWord [8]byte

func takeFrom(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	taken, err := unix.PidfdGetfd(fd, 1, 0)
	if err != nil {
		return err
	}
	return unix.Close(taken)
}

// traceMe starts a program that has itself traced, by its first thread: of another one this
// process would have to take the end.
func traceMe() error {
	runtime.LockOSThread()
	cmd := exec.Command("/strict-no-stack")
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return errors.Join(cmd.Process.Kill(), ignore(cmd.Wait()))
}

// userfaultDevice uses the device, which gives the same as the system call.
func userfaultDevice() error {
	const ioctlNew = 0xaa00 // USERFAULTFD_IOC_NEW
	fd, err := unix.Open("/dev/userfaultfd", unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	return attack.Call(unix.SYS_IOCTL, uintptr(fd), ioctlNew, unix.O_CLOEXEC)
}

// strictPrograms are made before the rules are on.
func strictPrograms(t *testing.T) {
	t.Helper()
	for name, content := range map[string][]byte{"stack": attack.Program(attack.Exits(), true), "no-stack": attack.Program(attack.Exits(), false), "personality32": attack.Program(attack.Personality32(), false)} {
		check0(t, os.WriteFile("/strict-"+name, content, 0o755))
	}
}

// errKilled: a process was ended by SIGKILL.
var errKilled = errors.New("killed")

func runProgram(name string) error {
	err := exec.Command("/strict-" + name).Run()
	if killed(err) {
		return errKilled
	}
	return err
}

func killed(err error) bool {
	var ended *exec.ExitError
	return errors.As(err, &ended) && ended.Sys().(syscall.WaitStatus).Signal() == unix.SIGKILL
}
