package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control/peer"
)

// ErrInUse says that another daemon listens on the socket.
var ErrInUse = errors.New("another iped is running")

// Listener is a Unix socket with a lock that makes it the only one of its path.
type Listener struct {
	*net.UnixListener
	path string
	lock *os.File

	owners, guests *places
}

// Listen makes the socket, connectable by everybody, in a directory that it
// creates if needed. A socket left by a killed daemon is replaced; one that is
// in use gives ErrInUse.
func Listen(path string) (*Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l, err := bind(path)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("listen: %w", err)
	}
	return &Listener{UnixListener: l, path: path, lock: lock,
		owners: newPlaces(maxOwners, maxOwners), guests: newPlaces(maxGuests, maxPerGuest)}, nil
}

// bind replaces whatever socket is there. The lock is held, so it is stale.
func bind(path string) (*net.UnixListener, error) {
	if st, err := os.Lstat(path); err == nil && st.Mode()&os.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	// Who may do what is decided by credentials, request by request.
	if err := os.Chmod(path, 0o666); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// lockFile takes an exclusive lock that ends with the process. The file stays:
// removing it would let two processes lock two files of one name.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// Accept waits for a peer. Everybody gets in; if there is no place, somebody else loses
// the connection.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	pc := &conn{UnixConn: c, peer: peer.Connected(c), places: l.guests}
	if pc.peer.Lack == nil {
		pc.places = l.owners
	}
	if leaves := pc.places.enter(pc); leaves != nil {
		leaves.Close()
	}
	return pc, nil
}

// Close removes the socket and gives up the lock.
func (l *Listener) Close() error {
	return errors.Join(l.UnixListener.Close(), l.lock.Close())
}
