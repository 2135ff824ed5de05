package controlrpc

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// maxGuests bounds the connections of all peers other than root together, so that
// they cannot keep root out, and maxPerGuest those of one user, so that it cannot
// keep other users out.
const maxGuests, maxPerGuest = 32, 8

// ErrInUse says that another daemon listens on the socket.
var ErrInUse = errors.New("another iped is running")

// Listener is a Unix socket with a lock that makes it the only one of its path.
type Listener struct {
	*net.UnixListener
	path string
	lock *os.File

	mu sync.Mutex
	// guests counts the connections of each uid but root's, all those of them. A
	// peer that the kernel does not name counts under root's number, which no guest has.
	guests map[uint32]int
	all    int
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
	return &Listener{UnixListener: l, path: path, lock: lock, guests: map[uint32]int{}}, nil
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

// Accept waits for a peer. Peers other than root beyond maxGuests and maxPerGuest
// are turned away without an answer.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		pc := &conn{UnixConn: c, peer: peerOf(c), l: l}
		if l.admit(pc) {
			return pc, nil
		}
		c.Close()
	}
}

// Close removes the socket and gives up the lock.
func (l *Listener) Close() error {
	return errors.Join(l.UnixListener.Close(), l.lock.Close())
}

func (l *Listener) admit(c *conn) bool {
	if c.peer.known && c.peer.uid == 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxGuests || l.guests[c.peer.uid] >= maxPerGuest {
		return false
	}
	l.guests[c.peer.uid]++
	l.all++
	c.guest = true
	return true
}

// dismiss makes room for another guest.
func (l *Listener) dismiss(uid uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.guests[uid]--; l.guests[uid] == 0 {
		delete(l.guests, uid)
	}
}

// conn is a connection that knows its peer.
type conn struct {
	*net.UnixConn
	peer  peer
	l     *Listener
	guest bool
	once  sync.Once
}

// Close ends the connection and makes room for another guest.
func (c *conn) Close() error {
	c.once.Do(func() {
		if c.guest {
			c.l.dismiss(c.peer.uid)
		}
	})
	return c.UnixConn.Close()
}
