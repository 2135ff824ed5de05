//go:build linux

package scenarios

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// act is one way to have the kernel decide. Allowed or not, it leaves nothing behind.
type act struct {
	name string
	try  func(*subject) error
}

// Of fileActs, the first common are tried on every file by every policy.
const common = 3

func fileActs() []act {
	return []act{
		{"exec", (*subject).exec},
		{"mmap", func(f *subject) error { return f.mapped(page, unix.MAP_PRIVATE) }},
		{"mprotect", (*subject).protected},
		{"mmap shared", func(f *subject) error { return f.mapped(page, unix.MAP_SHARED) }},
		{"mmap no length", func(f *subject) error { return f.mapped(0, unix.MAP_PRIVATE) }},
		{"mmap implied", (*subject).mappedImplied},
		{"mprotect implied", (*subject).protectedImplied},
		{"mprotect changed", (*subject).protectedChanged},
		{"mprotect again", (*subject).protectedAgain},
		{"execveat check", (*subject).checked},
		{"finit_module", (*subject).module},
		{"kexec_file_load", (*subject).kexec},
		{"IMA policy", (*subject).imaPolicy},
	}
}

// noFileActs are about no file, or one that has no name.
func noFileActs() []act {
	return []act{
		{"mmap private", func(*subject) error { return mapMemory(unix.MAP_PRIVATE) }},
		{"mmap shared", func(*subject) error { return mapMemory(unix.MAP_SHARED) }},
		{"mprotect private", func(*subject) error { return protectMemory(unix.MAP_PRIVATE) }},
		{"mprotect shared", func(*subject) error { return protectMemory(unix.MAP_SHARED) }},
		{"pkey_mprotect", func(*subject) error { return protectByKey() }},
		{"shmat", func(*subject) error { return attachExecutable() }},
		{"init_module", func(*subject) error { return unix.InitModule(make([]byte, page), "") }},
		{"kexec_load", func(*subject) error { return call(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0) }},
	}
}

// call is a system call without a result.
func call(number uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := unix.RawSyscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

func mmap(length, prot, flags, fd int) (uintptr, error) {
	at, _, errno := unix.RawSyscall6(unix.SYS_MMAP, 0, uintptr(length), uintptr(prot), uintptr(flags), uintptr(fd), 0)
	if errno != 0 {
		return 0, errno
	}
	return at, nil
}

func munmap(at uintptr, length int) error { return call(unix.SYS_MUNMAP, at, uintptr(length)) }

func mprotect(at uintptr, length, prot int) error {
	return call(unix.SYS_MPROTECT, at, uintptr(length), uintptr(prot))
}

// exec executes the script: ENOENT means that the script itself was allowed.
func (f *subject) exec() error {
	argv := []*byte{f.cpath, nil}
	return call(unix.SYS_EXECVE, uintptr(unsafe.Pointer(f.cpath)), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&argv[1])))
}

// execAt is execveat.
func (f *subject) execAt(dir uintptr, flags uintptr) error {
	argv := []*byte{f.cpath, nil}
	return call(unix.SYS_EXECVEAT, dir, uintptr(unsafe.Pointer(f.cpath)),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&argv[1])), flags)
}

// execveCheck is AT_EXECVE_CHECK, which the newest kernels know.
const execveCheck = 0x10000

// checked only asks whether the file may be executed.
func (f *subject) checked() error {
	here := unix.AT_FDCWD
	return f.execAt(uintptr(here), execveCheck)
}

func (f *subject) mapped(length, flags int) error {
	at, err := mmap(length, unix.PROT_READ|unix.PROT_EXEC, flags, f.fd)
	if err != nil {
		return err
	}
	return munmap(at, length)
}

// then maps a page of the file without asking for execution, tries what is to be
// tried with it, and unmaps it.
func (f *subject) then(prot int, try func(at uintptr) error) error {
	at, err := mmap(page, prot, unix.MAP_PRIVATE, f.fd)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	err = try(at)
	if e := munmap(at, page); e != nil {
		return fmt.Errorf("unmap: %w", e)
	}
	return err
}

func (f *subject) protected() error {
	return f.then(unix.PROT_READ, func(at uintptr) error { return mprotect(at, page, unix.PROT_READ|unix.PROT_EXEC) })
}

// protectedChanged: a private page that was written to belongs to its file all the same.
func (f *subject) protectedChanged() error {
	return f.then(unix.PROT_READ|unix.PROT_WRITE, func(at uintptr) error {
		if err := poke(at); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		return mprotect(at, page, unix.PROT_READ|unix.PROT_EXEC)
	})
}

// poke writes a byte to memory that Go does not know, by reading from /dev/zero.
func poke(at uintptr) error {
	fd, err := unix.Open("/dev/zero", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return call(unix.SYS_READ, uintptr(fd), at, 1)
}

// protectedAgain makes executable what is executable already, and writable, too.
func (f *subject) protectedAgain() error {
	if err := mprotect(f.held, page, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC); err != nil {
		return err
	}
	return mprotect(f.held, page, unix.PROT_READ|unix.PROT_EXEC)
}

// implied calls fn with the personality by which what can be read can be executed.
func implied(fn func() error) error {
	const readImpliesExec = 0x0400000
	if err := call(unix.SYS_PERSONALITY, readImpliesExec); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	err := fn()
	if e := call(unix.SYS_PERSONALITY, 0); e != nil {
		return fmt.Errorf("personality: %w", e)
	}
	return err
}

func (f *subject) mappedImplied() error {
	return implied(func() error { return f.then(unix.PROT_READ, func(uintptr) error { return nil }) })
}

func (f *subject) protectedImplied() error {
	return f.then(unix.PROT_NONE, func(at uintptr) error {
		return implied(func() error { return mprotect(at, page, unix.PROT_READ) })
	})
}

func (f *subject) module() error { return unix.FinitModule(f.fd, "", 0) }

// kexec: the file is no kernel, so nothing is loaded.
func (f *subject) kexec() error {
	empty := []byte{0}
	return call(unix.SYS_KEXEC_FILE_LOAD, uintptr(f.fd), ^uintptr(0), 1, uintptr(unsafe.Pointer(&empty[0])), unix.KEXEC_FILE_NO_INITRAMFS)
}

// imaPolicy has IMA read the file as a policy, which it is not.
func (f *subject) imaPolicy() error {
	fd, err := unix.Open("/sys/kernel/security/ima/policy", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(f.path))
	return err
}

func mapMemory(flags int) error {
	at, err := mmap(page, unix.PROT_READ|unix.PROT_EXEC, flags|unix.MAP_ANON, -1)
	if err != nil {
		return err
	}
	return munmap(at, page)
}

func protectMemory(flags int) error {
	at, err := mmap(page, unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_ANON, -1)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	err = mprotect(at, page, unix.PROT_READ|unix.PROT_EXEC)
	if e := munmap(at, page); e != nil {
		return fmt.Errorf("unmap: %w", e)
	}
	return err
}

// protectByKey uses the default key, which processors without keys take, too.
func protectByKey() error {
	at, err := mmap(page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON, -1)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	err = call(unix.SYS_PKEY_MPROTECT, at, page, unix.PROT_READ|unix.PROT_EXEC, ^uintptr(0))
	if e := munmap(at, page); e != nil {
		return fmt.Errorf("unmap: %w", e)
	}
	return err
}

// attachExecutable attaches System V shared memory to be executed.
func attachExecutable() error {
	const shmExec = 0o100000
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, page, unix.IPC_CREAT|0o700)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	at, _, errno := unix.RawSyscall(unix.SYS_SHMAT, uintptr(id), 0, shmExec)
	if errno == 0 {
		if err := call(unix.SYS_SHMDT, at); err != nil {
			return fmt.Errorf("detach: %w", err)
		}
	}
	if _, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	if errno != 0 {
		return errno
	}
	return nil
}

// rename names the thread, and so its records.
func rename(name string) error {
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(p)), 0, 0, 0)
}
