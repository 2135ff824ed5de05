//go:build linux && amd64

package sysfilter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// answer lets the filter judge a call. The machine of package bpf reads words as they
// come from a network.
func answer(t *testing.T, arch uint32, call uintptr, args ...uint32) uint32 {
	t.Helper()
	machine, err := bpf.NewVM(instructions(append(everywhere(), here()...)))
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, offsetArguments+6*argumentSize)
	binary.BigEndian.PutUint32(data[offsetCall:], uint32(call))
	binary.BigEndian.PutUint32(data[offsetProcessor:], arch)
	for i, a := range args {
		binary.BigEndian.PutUint32(data[offsetArguments+i*argumentSize:], a)
	}
	got, err := machine.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(got)
}

// TestAnswers: each rule, and what stands beside it.
func TestAnswers(t *testing.T) {
	const ok = unix.Errno(0)
	const i386 = unix.AUDIT_ARCH_I386
	for _, tt := range []struct {
		name string
		arch uint32
		call uintptr
		args []uint32
		want unix.Errno
	}{
		{"read", processor, unix.SYS_READ, nil, ok},
		{"a call of 32-bit programs", i386, 1, nil, unix.ENOSYS},
		{"a call with 32-bit pointers", processor, firstForeign + unix.SYS_READ, nil, unix.ENOSYS},
		{"ptrace", processor, unix.SYS_PTRACE, nil, unix.EPERM},
		{"module", processor, unix.SYS_FINIT_MODULE, nil, unix.EPERM},
		{"ring", processor, unix.SYS_IO_URING_SETUP, nil, unix.EPERM},
		{"unix socket", processor, unix.SYS_SOCKET, []uint32{unix.AF_UNIX}, ok},
		{"netlink socket", processor, unix.SYS_SOCKET, []uint32{unix.AF_NETLINK}, ok},
		{"internet socket", processor, unix.SYS_SOCKET, []uint32{unix.AF_INET}, unix.EAFNOSUPPORT},
		{"thread", processor, unix.SYS_CLONE, []uint32{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SYSVSEM}, ok},
		{"process", processor, unix.SYS_CLONE, []uint32{unix.CLONE_VFORK | unix.CLONE_VM | uint32(unix.SIGCHLD)}, ok},
		{"user namespace", processor, unix.SYS_CLONE, []uint32{unix.CLONE_NEWUSER | uint32(unix.SIGCHLD)}, unix.EPERM},
		{"newer clone", processor, unix.SYS_CLONE3, nil, unix.ENOSYS},
		{"ask for personality", processor, unix.SYS_PERSONALITY, []uint32{personalityNow}, ok},
		{"other personality", processor, unix.SYS_PERSONALITY, []uint32{0x0400000}, unix.EPERM},
		{"chmod", processor, unix.SYS_FCHMODAT, []uint32{0, 0, 0o666}, ok},
		{"chmod of set-user-ID", processor, unix.SYS_FCHMODAT, []uint32{0, 0, 0o4755}, unix.EPERM},
		{"set-group-ID file", processor, unix.SYS_OPENAT, []uint32{0, 0, 0, 0o2755}, unix.EPERM},
		{"mount", processor, unix.SYS_MOUNT, nil, ok},
		{"bpf", processor, unix.SYS_BPF, nil, ok},
		{"the last call", processor, firstForeign - 1, nil, ok},
	} {
		want := uint32(retAllow)
		if tt.want != ok {
			want = retErrno | uint32(tt.want)
		}
		if got := answer(t, tt.arch, tt.call, tt.args...); got != want {
			t.Errorf("%s: answer %#x, want %#x", tt.name, got, want)
		}
	}
}

// TestRulesMeetOnce: a rule ends the judgement of its call, so no other may follow.
func TestRulesMeetOnce(t *testing.T) {
	seen := map[uintptr]bool{}
	for _, r := range append(everywhere(), here()...) {
		if seen[r.call] {
			t.Errorf("call %d has two rules", r.call)
		}
		seen[r.call] = true
		if r.when == nil && answer(t, processor, r.call) != retErrno|uint32(r.errno) {
			t.Errorf("call %d passes", r.call)
		}
	}
}

// TestInstalled runs in a process of its own, whose filter it is to the end.
func TestInstalled(t *testing.T) {
	const self = "SYSFILTER_CHILD"
	switch os.Getenv(self) {
	case "":
	case "executed":
		refused(t, "in what it executes")
		return
	default:
		parent(t, self)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestInstalled$", "-test.v")
	cmd.Env = append(os.Environ(), self+"=parent")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "executed what it may") {
		t.Errorf("%v\n%s", err, out)
	}
}

// parent installs the filter while there are other threads, and looks at all of them.
func parent(t *testing.T, self string) {
	const threads = 4
	ready, look, done := make(chan bool), make(chan bool), make(chan bool)
	for i := range threads {
		go func() {
			runtime.LockOSThread()
			ready <- true
			<-look
			refused(t, fmt.Sprintf("thread %d", i))
			done <- true
		}()
		<-ready
	}
	if err := Install(); err != nil {
		t.Fatal(err)
	}
	close(look)
	for range threads {
		<-done
	}
	refused(t, "the thread itself")
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(tasks) < threads {
		t.Fatalf("%d threads, %v", len(tasks), err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // it has ended
		}
		for _, want := range []string{"\nNoNewPrivs:\t1\n", "\nSeccomp:\t2\n"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q", task, want)
			}
		}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestInstalled$", "-test.v")
	cmd.Env = append(os.Environ(), self+"=executed")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("a child: %v\n%s", err, out)
	}
	fmt.Println("executed what it may")
}

// refused tries calls that fail otherwise, or do nothing, when they are not refused.
func refused(t *testing.T, where string) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err == nil {
		unix.Close(fd)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Errorf("%s: %v", where, err)
	}
	for name, tt := range map[string]struct{ got, want error }{
		"internet socket": {err, unix.EAFNOSUPPORT},
		"set-user-ID":     {unix.Chmod(file, 0o4700), unix.EPERM},
		"chmod":           {unix.Chmod(file, 0o640), nil},
		"namespace":       {unix.Unshare(unix.CLONE_FS), unix.EPERM},
		"ptrace":          {unix.PtraceDetach(os.Getpid()), unix.EPERM},
	} {
		if !errors.Is(tt.got, tt.want) {
			t.Errorf("%s: %s: %v, want %v", where, name, tt.got, tt.want)
		}
	}
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Errorf("%s: unix socket: %v", where, err)
		return
	}
	unix.Close(fd)
}
