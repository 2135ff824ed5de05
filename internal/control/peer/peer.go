// Package peer tells who asks: the process at the other end of a Unix socket, or the
// thread that is in a call and waits for the answer. It is the one place that reads
// rights of other processes.
//
// # Rights
//
// Who may administer is decided as the kernel decides for the files of its tree:
// CAP_MAC_ADMIN in the initial user namespace. A process that is root of a namespace of
// its own has all capabilities there, and they are worth nothing elsewhere. A process
// that cannot be looked at, because it has ended or lives in a PID namespace that is not
// seen from here, has no rights: it may have hidden on purpose.
//
// # Numbers
//
// The kernel names processes by numbers, and gives the number of one that has ended to
// another. So the directory of a process in /proc is held open while it is read, and
// afterwards the process must still be there that connected: since Linux 6.5 the kernel
// hands out a reference to it. Before, a process that was started after the connection
// was accepted is refused; one that got the number between connect(2) and accept(2) is
// not told apart.
package peer

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/eintr"
)

// Why a process may not administer.
var (
	ErrNotRoot      = errors.New("the user is not root")
	ErrNoCapability = errors.New("the process lacks CAP_MAC_ADMIN")
	ErrNamespace    = errors.New("the process is in a user namespace of its own, where capabilities are worth nothing")
	ErrEnded        = errors.New("the process that connected has ended")
	ErrUnseen       = errors.New("the process cannot be looked at")
)

// Peer is who connected.
type Peer struct {
	// UID is the user at the time of connect(2), by the kernel's own word. It counts
	// only if Known.
	UID   uint32
	Known bool
	// Subject is who the records name.
	Subject audit.Subject
	// Lack is why the peer may not administer; nil if it may.
	Lack error
}

// Nobody is a peer of whom nothing is known.
func Nobody() Peer {
	return Peer{Subject: audit.Nobody(), Lack: ErrUnseen}
}

// Connected asks the kernel who made a connection that was just accepted. The uid is the
// authority; what is read of the process can only take rights away.
func Connected(c *net.UnixConn) Peer {
	accepted, err := now()
	if err != nil {
		return Nobody()
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return Nobody()
	}
	p := Nobody()
	if err := raw.Control(func(fd uintptr) { p = connected(int(fd), accepted) }); err != nil {
		return Nobody()
	}
	return p
}

func connected(fd int, accepted ticks) Peer {
	p := Nobody()
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return p
	}
	p.UID, p.Known = cred.Uid, true
	proc, err := otherEnd(fd, cred.Pid, accepted)
	if err != nil {
		p.Lack = err
		return p
	}
	defer proc.close()
	p.Subject, p.Lack = proc.subject(), ErrNotRoot
	if p.UID == 0 {
		p.Lack = proc.lack()
	}
	return p
}

// otherEnd holds the process that connected, which the kernel says has the number pid.
func otherEnd(fd int, pid int32, accepted ticks) (*process, error) {
	pidfd, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	switch {
	case errors.Is(err, unix.ENOPROTOOPT):
		return holdOlder(pid, accepted)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrEnded, os.NewSyscallError("getsockopt", err))
	}
	defer unix.Close(pidfd)
	proc, err := hold(pid)
	if err != nil {
		return nil, err
	}
	// The number was its own as long as it lived.
	if ended(pidfd) {
		proc.close()
		return nil, ErrEnded
	}
	return proc, nil
}

// holdOlder holds a process that was there when the connection was accepted.
func holdOlder(pid int32, accepted ticks) (*process, error) {
	proc, err := hold(pid)
	if err != nil {
		return nil, err
	}
	if start, err := proc.start(); err != nil || start > accepted {
		proc.close()
		return nil, errors.Join(ErrEnded, err)
	}
	return proc, nil
}

// ended reports whether a process is dead, or might be.
func ended(pidfd int) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	n := 0
	err := eintr.Again(func() (err error) { n, err = unix.Poll(fds, 0); return err })
	return n != 0 || err != nil
}

// Lack returns why a thread that waits for an answer may not administer; nil if it may.
// It waits, so its number is its own.
func Lack(tid uint32) error {
	proc, err := hold(int32(tid))
	if err != nil {
		return err
	}
	defer proc.close()
	return proc.lack()
}

// SubjectOf returns who a process, or a thread, acts for; nobody if it cannot be looked
// at any more, or if the kernel has no audit.
func SubjectOf(tid uint32) audit.Subject {
	proc, err := hold(int32(tid))
	if err != nil {
		return Nobody().Subject
	}
	defer proc.close()
	return proc.subject()
}
