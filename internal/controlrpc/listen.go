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

// maxGuests bounds the connections of peers other than root, so that they cannot
// keep root out.
const maxGuests = 32

// ErrInUse says that another daemon listens on the socket.
var ErrInUse = errors.New("another iped is running")

// Listener is a Unix socket with a lock that makes it the only one of its path.
type Listener struct {
	*net.UnixListener
	path string
	lock *os.File

	mu     sync.Mutex
	guests int
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
	return &Listener{UnixListener: l, path: path, lock: lock}, nil
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

// Accept waits for a peer. Peers other than root beyond maxGuests are turned
// away without an answer.
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
	if l.guests >= maxGuests {
		return false
	}
	l.guests++
	c.guest = true
	return true
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
			c.l.mu.Lock()
			c.l.guests--
			c.l.mu.Unlock()
		}
	})
	return c.UnixConn.Close()
}
