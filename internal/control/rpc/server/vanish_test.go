package server_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/control/rpc/server"
)

// connectSocket tells a test's child process which socket to connect its
// descriptor 3 to.
const connectSocket = "IPE_TEST_CONNECT_SOCKET"

// connectAndGo connects a descriptor that somebody else goes on using.
func connectAndGo(socket string) int {
	if err := dropCapabilities(); err != nil {
		return 1
	}
	if err := unix.Connect(3, &unix.SockaddrUnix{Name: socket}); err != nil {
		return 2
	}
	return 0
}

// TestPeerThatIsGone: a process without CAP_MAC_ADMIN gains nothing by ending
// before anybody looks at its capabilities.
func TestPeerThatIsGone(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := server.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "connection")
	defer f.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), connectSocket+"="+socket)
	cmd.ExtraFiles = []*os.File{f}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- server.Serve(ctx, l, nil, controltest.Daemon{Control: control.New(control.Config{Engine: controltest.NewEngine()})}, slog.New(slog.DiscardHandler))
	}()
	if got := deletePolicy(t, f); got != http.StatusForbidden {
		t.Errorf("status %d, want %d", got, http.StatusForbidden)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// deletePolicy asks on a connection for what needs privilege and returns the
// status of the answer.
func deletePolicy(t *testing.T, f *os.File) int {
	t.Helper()
	tv := unix.NsecToTimeval(int64(10 * time.Second))
	if err := unix.SetsockoptTimeval(int(f.Fd()), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(f, "DELETE /v1/policies/x HTTP/1.1\r\nHost: iped\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(f), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
