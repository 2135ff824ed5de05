//go:build guest

package bpf_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
)

// read is one way to make the kernel read or take something for itself. What it is
// given is no module, kernel or policy, so being allowed ends in another error.
type read struct {
	name string
	op   policy.Op
	hook eval.Hook
	try  func(file string) error
}

func reads() []read {
	return []read{
		{"finit_module", policy.OpKModule, eval.HookKernelRead, finitModule},
		{"init_module", policy.OpKModule, eval.HookKernelLoad, initModule},
		{"kexec_file_load", policy.OpKexecImage, eval.HookKernelRead, func(file string) error { return kexecFile(file, "") }},
		{"kexec_load", policy.OpKexecImage, eval.HookKernelLoad, kexecLoad},
		{"kexec_file_load with an initramfs", policy.OpKexecInitramfs, eval.HookKernelRead, func(file string) error { return kexecFile("/images/vmlinuz", file) }},
		{"IMA policy by path", policy.OpPolicy, eval.HookKernelRead, imaPolicy},
	}
}

func finitModule(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return otherwise(unix.FinitModule(int(f.Fd()), "", 0), unix.ENOEXEC, unix.EKEYREJECTED)
}

func initModule(string) error {
	return otherwise(unix.InitModule(make([]byte, 4096), ""), unix.ENOEXEC, unix.EKEYREJECTED)
}

func kexecLoad(string) error {
	_, _, errno := unix.Syscall6(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0, 0, 0)
	return otherwise(errno, 0)
}

// kexecFile loads a kernel that is none, or a good one with the given initramfs, and
// unloads it.
func kexecFile(kernel, initramfs string) error {
	k, err := os.Open(kernel)
	if err != nil {
		return err
	}
	defer k.Close()
	initrd, flags := -1, unix.KEXEC_FILE_NO_INITRAMFS
	if initramfs != "" {
		i, err := os.Open(initramfs)
		if err != nil {
			return err
		}
		defer i.Close()
		initrd, flags = int(i.Fd()), 0
	}
	empty := []byte{0}
	_, _, errno := unix.Syscall6(unix.SYS_KEXEC_FILE_LOAD, k.Fd(), uintptr(initrd), 1, uintptr(unsafe.Pointer(&empty[0])), uintptr(flags), 0)
	if initramfs == "" {
		return otherwise(errno, unix.ENOEXEC)
	}
	if errno == 0 {
		_, _, errno = unix.Syscall6(unix.SYS_KEXEC_FILE_LOAD, 0, 0, 0, 0, unix.KEXEC_FILE_UNLOAD, 0)
	}
	return otherwise(errno, 0)
}

func imaPolicy(file string) error {
	f, err := os.OpenFile("/sys/kernel/security/ima/policy", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	_, err = f.WriteString(file)
	return otherwise(errors.Join(err, ignoreClose(f)), unix.EINVAL)
}

func ignoreClose(f *os.File) error {
	f.Close() // IMA says here once more that the policy was no good
	return nil
}

// otherwise turns the error that means "allowed, and then no good" into none.
func otherwise(err error, allowed ...unix.Errno) error {
	var errno unix.Errno
	if errors.As(err, &errno) && (errno == 0 || slices.Contains(allowed, errno)) {
		return nil
	}
	return err
}

// auditing is the mode in which each decision is recorded.
var auditing = engine.Mode{Enforce: true, SuccessAudit: true}

// TestReadsAreJudged: each operation is decided by its own rules, with the
// facts of the file that is read, or with none.
func TestReadsAreJudged(t *testing.T) {
	e := open(t)
	mountAll(t)
	rec := newRecorder(t, e)
	root := rootHash(t, "ROOT_HASH")
	files := []struct {
		path  string
		facts eval.Evidence
	}{
		{"/volume/probe", eval.Evidence{RootHash: root}},
		{"/files/plain", eval.Evidence{}},
		{"/images/plain", eval.Evidence{BootVerified: true}},
	}
	if err := os.WriteFile("/images/plain", []byte("nothing in particular\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, r := range append(reads(), askedReads(t)...) {
		statements := [][]string{
			{"DEFAULT action=ALLOW", fmt.Sprintf("DEFAULT op=%v action=DENY", r.op)},
			// The kernel image is read before its initramfs, and a module may be what asks.
			{"DEFAULT action=DENY", fmt.Sprintf("op=%v action=ALLOW", r.op), "op=KEXEC_IMAGE action=ALLOW", "op=KMODULE action=ALLOW"},
			{"DEFAULT action=ALLOW", fmt.Sprintf("DEFAULT op=%v action=DENY", r.op), fmt.Sprintf("op=%v dmverity_roothash=%v action=ALLOW", r.op, root)},
			{"DEFAULT action=ALLOW", fmt.Sprintf("op=%v boot_verified=FALSE action=DENY", r.op)},
			{"DEFAULT action=ALLOW", "DEFAULT op=EXECUTE action=DENY"},
		}
		for i, s := range statements {
			a := activate(t, e, auditing, s...)
			for _, f := range files {
				event := eval.Event{Op: r.op, Hook: r.hook, Evidence: f.facts}
				if r.hook == eval.HookKernelLoad {
					event.Evidence = eval.Evidence{}
				}
				checkRead(t, fmt.Sprintf("%s, policy %d, %s", r.name, i, f.path), a.Policy, event, func() error { return r.try(f.path) }, rec)
			}
		}
	}
}

func checkRead(t *testing.T, what string, p *policy.Policy, event eval.Event, try func() error, rec *recorder) {
	t.Helper()
	want := eval.Decide(p, event)
	rec.drain()
	err := try()
	if got := errors.Is(err, unix.EACCES); got != (want.Action == policy.Deny) || err != nil && !got {
		t.Errorf("%s: kernel says %v, policy says %v", what, err, want)
		return
	}
	for {
		got, ok := rec.next(event.Hook)
		if !ok {
			t.Errorf("%s: no record", what)
			return
		}
		if got.Event.Op != event.Op { // of what goes before
			continue
		}
		if got.Decision != want || got.Event.Evidence != event.Evidence {
			t.Errorf("%s: recorded %+v with %+v, want %+v with %+v", what, got.Decision, got.Event.Evidence, want, event.Evidence)
		}
		return
	}
}
