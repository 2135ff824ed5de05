//go:build guest

package fs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/control/fs"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/sign"
)

// machine is a mounted tree with what is below it.
type machine struct {
	testing.TB
	dir    string
	signer *controltest.Signer
	*control.Control
	server *fs.Server
}

const bootText = "policy_name=boot policy_version=0.0.0\r\nDEFAULT action=DENY\n"

// newControl is a life cycle on an engine that enforces nothing.
func newControl(tb testing.TB, ring *sign.Keyring, boot string) *control.Control {
	tb.Helper()
	st, err := store.Open(filepath.Join(tb.TempDir(), "state"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { st.Close() })
	c := control.New(control.Config{Store: st, Verifier: control.Certificates(ring), Engine: controltest.NewEngine(), Boot: []byte(boot)})
	if err := c.Start(); err != nil {
		tb.Fatal(err)
	}
	return c
}

func mounted(tb testing.TB) *machine {
	tb.Helper()
	m := &machine{TB: tb, dir: filepath.Join(tb.TempDir(), "ipe"), signer: controltest.NewSigner(tb, "owner")}
	m.Control = newControl(tb, m.signer.Keyring(), bootText)
	server, err := fs.Mount(m.dir, m.Control, nil)
	if err != nil {
		tb.Fatal(err)
	}
	m.server = server
	go server.Serve()
	tb.Cleanup(func() {
		if err := server.Close(); err != nil {
			tb.Error(err)
		}
	})
	noPoll(tb, m.path("enforce"))
	return m
}

// noPoll lets the kernel learn that the tree cannot be polled, which the runtime
// asks of each file that it opens. Two such questions at a time would take both
// processors of a small machine, and none would be left to answer.
func noPoll(tb testing.TB, name string) {
	tb.Helper()
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0); err != nil {
		tb.Fatal(err)
	}
}

func (m *machine) path(node string) string { return filepath.Join(m.dir, node) }

func (m *machine) signed(name, version string) string {
	return string(m.signer.Sign(m, fmt.Sprintf("policy_name=%s policy_version=%s\nDEFAULT action=DENY\n", name, version)))
}

// write is what a shell does for echo -n >node.
func (m *machine) write(node, data string) error {
	return os.WriteFile(m.path(node), []byte(data), 0o644)
}

// wantWrite expects an errno of a write, 0 for none.
func (m *machine) wantWrite(node, data string, want unix.Errno) {
	m.Helper()
	wantErrno(m, "write "+node, m.write(node, data), want)
}

// wantRead expects the content of a node, to the byte.
func (m *machine) wantRead(node, want string) {
	m.Helper()
	got, err := os.ReadFile(m.path(node))
	if err != nil || string(got) != want {
		m.Errorf("%s reads %q, %v; want %q", node, got, err, want)
	}
}

func wantErrno(tb testing.TB, what string, err error, want unix.Errno) {
	tb.Helper()
	if got := errnoOf(err); got != want {
		tb.Errorf("%s: %v (%s), want %s", what, err, unix.ErrnoName(got), unix.ErrnoName(want))
	}
}

func errnoOf(err error) (errno unix.Errno) {
	if err != nil && !errors.As(err, &errno) {
		return unix.ENOTRECOVERABLE // no errno at all, which nobody wants
	}
	return errno
}

func (m *machine) open(node string, flags int) *os.File {
	m.Helper()
	f, err := os.OpenFile(m.path(node), flags, 0)
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { f.Close() })
	return f
}
