package server_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"testing"

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

// visitor is a connection that has had an answer and may have lost its place since.
type visitor struct {
	f *os.File
	r *bufio.Reader
}

// visit connects and has a request answered, which a newcomer always can.
func visit(t *testing.T, socket string) *visitor {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Error(err)
		return nil
	}
	v := &visitor{f: os.NewFile(uintptr(fd), "visitor")}
	v.r = bufio.NewReader(v.f)
	t.Cleanup(func() { v.f.Close() })
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		t.Error(err)
		return nil
	}
	if err := v.ask(); err != nil {
		t.Errorf("a newcomer is not answered: %v", err)
		return nil
	}
	return v
}

// ask makes a request on a connection. However slow the machine is, it ends by an answer
// or by the end of the connection.
func (v *visitor) ask() error {
	if _, err := fmt.Fprint(v.f, "GET /v1/mode HTTP/1.1\r\nHost: iped\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(v.r, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

// visits are n visitors of one user.
func visits(t *testing.T, socket string, uid, n int) (all []*visitor) {
	t.Helper()
	err := as(uid, func() {
		for range n {
			if v := visit(t, socket); v != nil {
				all = append(all, v)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// staying counts who still has a place.
func staying(all []*visitor) (n int) {
	for _, v := range all {
		if v.ask() == nil {
			n++
		}
	}
	return n
}

// TestGuestsCannotCrowdOut: whatever others hold, a newcomer gets a place, as many as
// anybody if it wants, and root always.
func TestGuestsCannotCrowdOut(t *testing.T) {
	f := serve(t)
	if !isRoot() {
		if n := staying(visits(t, f.socket, os.Geteuid(), 12)); n != 8 {
			t.Errorf("a user has %d places, want 8", n)
		}
		return
	}
	var all []*visitor
	for user := range 4 {
		mine := visits(t, f.socket, nobody-user, 12)
		if n := staying(mine); n != 8 {
			t.Errorf("user %d has %d places, want 8", user, n)
		}
		all = append(all, mine...)
	}
	late := visits(t, f.socket, nobody-4, 5)
	if n, m := staying(late), staying(all); n != 5 || m != 27 {
		t.Errorf("the fifth user has %d places and the others %d, want 5 and 27", n, m)
	}
	for user := range 40 {
		all = append(all, visits(t, f.socket, nobody-10-user, 1)...)
	}
	if n := staying(append(all, late...)); n != 32 {
		t.Errorf("%d places are taken, want 32", n)
	}
	if n := staying(visits(t, f.socket, 0, 70)); n != 64 {
		t.Errorf("root has %d places, want 64", n)
	}
	if _, err := f.client.Status(t.Context()); err != nil {
		t.Errorf("root is kept out: %v", err)
	}
}
