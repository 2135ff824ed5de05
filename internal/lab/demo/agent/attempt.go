//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ok is the answer to what was allowed, and went well.
const ok = "ok"

// answer is what came of one attempt.
type answer struct {
	pid uint32
	// errno is the kernel's refusal of the action itself; empty if it did not refuse.
	errno string
	// exit is the status of the program that ran, such as "exit 127" or "signal
	// killed"; empty for 0.
	exit           string
	stdout, stderr string
}

// String is what the kernel answered, in one word or two.
func (r answer) String() string {
	switch {
	case r.errno != "":
		return r.errno
	case r.exit != "":
		return r.exit
	}
	return ok
}

// running is an attempt that has begun.
type running struct {
	cmd            *exec.Cmd
	stdin          io.WriteCloser
	errno          *os.File
	stdout, stderr bytes.Buffer
}

// begin starts a child that tries the action. Its input is open until end.
func begin(ctx context.Context, env []string, args ...string) (*running, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("begin attempt: %w", err)
	}
	defer w.Close()
	t := &running{cmd: exec.CommandContext(ctx, "/proc/self/exe", args...), errno: r}
	t.cmd.Args[0] = "agent"
	t.cmd.Env = append(os.Environ(), env...)
	t.cmd.ExtraFiles = []*os.File{w}
	t.cmd.Stdout, t.cmd.Stderr = &t.stdout, &t.stderr
	if t.stdin, err = t.cmd.StdinPipe(); err != nil {
		r.Close()
		return nil, fmt.Errorf("begin attempt: %w", err)
	}
	if err := t.cmd.Start(); err != nil {
		r.Close()
		return nil, fmt.Errorf("begin attempt: %w", err)
	}
	return t, nil
}

// end closes the child's input and collects the answer. An error means that the
// attempt was not made.
func (t *running) end() (answer, error) {
	defer t.errno.Close()
	closed := t.stdin.Close()
	errno, err := io.ReadAll(t.errno)
	if err := errors.Join(closed, err); err != nil {
		return answer{}, fmt.Errorf("end attempt: %w", err)
	}
	err = t.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return answer{}, fmt.Errorf("end attempt: %w", err)
	}
	a := answer{pid: uint32(t.cmd.Process.Pid), errno: string(errno), stdout: t.stdout.String(), stderr: t.stderr.String()}
	if strings.HasPrefix(a.stderr, "agent: error:") {
		return answer{}, errors.New(strings.TrimSpace(a.stderr))
	}
	switch ws := t.cmd.ProcessState.Sys().(syscall.WaitStatus); {
	case ws.Signaled():
		a.exit = "signal: " + unix.SignalName(ws.Signal())
	case ws.ExitStatus() != 0:
		a.exit = fmt.Sprintf("exit %d", ws.ExitStatus())
	}
	return a, nil
}

// attempt is begin and end.
func attempt(ctx context.Context, env []string, args ...string) (answer, error) {
	t, err := begin(ctx, env, args...)
	if err != nil {
		return answer{}, err
	}
	return t.end()
}

// execFD executes an open file. x/sys has no execveat.
func execFD(fd int, args []string) error {
	argv, err := syscall.SlicePtrFromStrings(args)
	if err != nil {
		return err
	}
	env, err := syscall.SlicePtrFromStrings(programEnv())
	if err != nil {
		return err
	}
	empty := [1]byte{}
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(&empty[0])),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&env[0])), unix.AT_EMPTY_PATH, 0)
	return errno
}
