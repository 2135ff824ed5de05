package proof

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/eval"
)

// probe is an action without side effects that a policy may deny. Its evidence is
// empty: memory, or a file in memory.
type probe struct {
	name string
	hook eval.Hook
	try  func() error
}

func probes() []probe {
	return []probe{
		{"map anonymous memory as executable", eval.HookMmap, tryMmap},
		{"make anonymous memory executable", eval.HookMprotect, tryMprotect},
		{"execute a file in memory (memfd)", eval.HookBprmCheck, tryExec},
	}
}

// errSetup marks what went wrong before the kernel was asked.
var errSetup = errors.New("not tried")

func tryMmap() error {
	mem, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	return unix.Munmap(mem)
}

func tryMprotect() error {
	mem, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return fmt.Errorf("%w: %w", errSetup, err)
	}
	return errors.Join(unix.Mprotect(mem, unix.PROT_READ|unix.PROT_EXEC), unix.Munmap(mem))
}

// tryExec executes a script in memory whose interpreter does not exist. Allowed,
// the script itself is judged and then ENOENT follows, before the point of no
// return; so it never replaces this process.
func tryExec() error {
	fd, err := memfd()
	if err != nil {
		return fmt.Errorf("%w: memfd_create: %w", errSetup, err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte("#!/ipe-self-test/no-such-interpreter\n")); err != nil {
		return fmt.Errorf("%w: write: %w", errSetup, err)
	}
	file := fmt.Sprintf("/proc/self/fd/%d", fd)
	if err := unix.Access(file, unix.X_OK); err != nil {
		return fmt.Errorf("%w: %s: %w", errSetup, file, err)
	}
	return execve(file)
}

func execve(file string) error {
	path, err := unix.BytePtrFromString(file)
	if err != nil {
		return fmt.Errorf("%w: %w", errSetup, err)
	}
	argv := []*byte{path, nil}
	_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&argv[1])))
	if errno == unix.ENOENT {
		return nil
	}
	return errno
}

// memfd makes an executable file in memory; kernels before 6.3 do not know the
// flag that asks for the execute bit.
func memfd() (int, error) {
	fd, err := unix.MemfdCreate("ipe-self-test", unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate("ipe-self-test", 0)
	}
	return fd, err
}
