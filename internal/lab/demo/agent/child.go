//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Exit statuses of a child that is not replaced by another program.
const (
	childDone   = 0
	childFailed = 2
)

// answerFile is the descriptor on which a child says what the kernel answered. It
// is closed by a successful execve, so silence is a success, too.
const answerFile = 3

// child is the program run as one attempt. Its arguments are the action's.
func child(action string, args []string) int {
	unix.CloseOnExec(answerFile) // a successful execve closes it
	try, known := actions[action]
	if !known {
		fmt.Fprintf(os.Stderr, "agent: error: no action %q\n", action)
		return childFailed
	}
	err := try(args)
	var refused *refusedError
	switch {
	case errors.As(err, &refused):
		fmt.Fprint(os.NewFile(answerFile, "answer"), unix.ErrnoName(refused.errno))
	case err != nil:
		fmt.Fprintln(os.Stderr, "agent: error:", err)
		return childFailed
	}
	return childDone
}

// refusedError is the kernel's refusal of what was to be tried, other than a failure
// of what has to be done before.
type refusedError struct{ errno unix.Errno }

func (e *refusedError) Error() string { return e.errno.Error() }
func (e *refusedError) Unwrap() error { return e.errno }

// refused makes the error of the system call in question an answer.
func refused(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return &refusedError{errno}
	}
	return err
}

// actions are what a child can try, each without effects but the one meant.
var actions = map[string]func(args []string) error{
	"exec":      execIn,
	"memfd":     execMemory,
	"anon":      mapAnonymous,
	"wx":        writeThenExecute,
	"hammer":    hammer,
	"technique": tryTechnique,
	"wait":      wait,
}

// execIn replaces the child by a program: root directory, program, arguments.
func execIn(args []string) error {
	if err := enter(args[0]); err != nil {
		return err
	}
	return refused(unix.Exec(args[1], args[1:], programEnv()))
}

func enter(root string) error {
	if err := unix.Chroot(root); err != nil {
		return fmt.Errorf("enter %s: %w", root, err)
	}
	return unix.Chdir("/")
}

// programEnv is the environment without what only the Go runtime would read.
func programEnv() []string {
	env := []string{"PATH=/usr/sbin:/usr/bin", "LC_ALL=C"}
	if lib := os.Getenv("LD_PRELOAD"); lib != "" {
		env = append(env, "LD_PRELOAD="+lib)
	}
	return env
}

// execMemory copies a program into a file in memory and executes that: root
// directory, program, arguments.
func execMemory(args []string) error {
	data, err := os.ReadFile(args[0] + args[1])
	if err != nil {
		return fmt.Errorf("copy program: %w", err)
	}
	fd, err := unix.MemfdCreate("nft", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before 6.3
		fd, err = unix.MemfdCreate("nft", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return fmt.Errorf("make memfd: %w", err)
	}
	if _, err := unix.Write(fd, data); err != nil {
		return fmt.Errorf("fill memfd: %w", err)
	}
	if err := enter(args[0]); err != nil {
		return err
	}
	return refused(execFD(fd, args[1:]))
}

func mapAnonymous([]string) error {
	mem, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return refused(err)
	}
	return unix.Munmap(mem)
}

// writeThenExecute does what a compiler at run time, or injected code, does.
func writeThenExecute([]string) error {
	mem, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return fmt.Errorf("map memory: %w", err)
	}
	copy(mem, []byte{0xc3}) // ret
	return refused(unix.Mprotect(mem, unix.PROT_READ|unix.PROT_EXEC))
}

// hammerPause keeps the ring buffer of records from filling while nobody reads it.
const hammerPause = 20 * time.Millisecond

// hammer asks for executable memory until its input ends, and prints how often
// it was denied of how many times it tried.
func hammer([]string) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		io.Copy(io.Discard, os.Stdin) //nolint:errcheck // an error ends the input, too
	}()
	tried, denied := 0, 0
	for {
		tried++
		if errors.Is(mapAnonymous(nil), unix.EACCES) {
			denied++
		}
		select {
		case <-ended:
			fmt.Printf("%d/%d\n", denied, tried)
			return nil
		case <-time.After(hammerPause):
		}
	}
}
