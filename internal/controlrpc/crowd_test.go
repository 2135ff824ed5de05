package controlrpc_test

import (
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// nobody is a user without rights.
const nobody = 65534

// as runs fn on a thread with another user's id. The thread is not used again.
func as(uid int, fn func()) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread outlives its goroutine, and /proc shows its rights as the
			// process's. While it is held here, another one serves.
			done <- as(uid, fn)
			runtime.UnlockOSThread()
			return
		}
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
			done <- errno
			return
		}
		fn()
		done <- nil
	}()
	return <-done
}

// crowd opens n idle connections and returns how many were turned away.
func crowd(t *testing.T, socket string, n int) (refused int) {
	for range n {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			return refused
		}
		t.Cleanup(func() { unix.Close(fd) })
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
			t.Error(err)
			return refused
		}
		if closed(fd) {
			refused++
		}
	}
	return refused
}

// closed reports whether the other end hangs up within a moment.
func closed(fd int) bool {
	tv := unix.NsecToTimeval(int64(20 * time.Millisecond))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return false
	}
	n, err := unix.Read(fd, make([]byte, 1))
	return n == 0 && err == nil || errors.Is(err, unix.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
}
