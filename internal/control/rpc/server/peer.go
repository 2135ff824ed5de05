package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/peer"
	"github.com/ipe-linux/ipe/internal/eintr"
)

type peerKey struct{}

// withPeer notes the peer of a new connection, with the rights it had at that time, as
// the kernel looks at the credentials that a node was opened with.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if pc, ok := c.(*conn); ok {
		ctx = context.WithValue(ctx, peerKey{}, pc)
	}
	return ctx
}

// peerOf is the peer of a request.
func peerOf(ctx context.Context) peer.Peer {
	if c, ok := ctx.Value(peerKey{}).(*conn); ok {
		return c.peer
	}
	return peer.Nobody()
}

// mayChange returns api.ErrPrivilege unless the connection's peer is privileged, with the
// reason if it is not just another user.
func mayChange(ctx context.Context) error {
	switch p := peerOf(ctx); {
	case p.Lack == nil:
		return nil
	case errors.Is(p.Lack, peer.ErrNotRoot):
		return api.ErrPrivilege
	default:
		return &lackError{p.Lack}
	}
}

// lackError is an api.ErrPrivilege for root that is less than root.
type lackError struct{ lack error }

// Error implements error.
func (e *lackError) Error() string {
	return fmt.Sprintf("%v in the initial user namespace: %v", api.ErrPrivilege, e.lack)
}

// Unwrap returns both.
func (e *lackError) Unwrap() []error { return []error{api.ErrPrivilege, e.lack} }

// Hint says how to be all of root.
func (e *lackError) Hint() string {
	if errors.Is(e.lack, peer.ErrEnded) {
		return "the process that connects must live until it has the answer"
	}
	return "run this as root with CAP_MAC_ADMIN, outside of containers and of unshare --user"
}

// left reports whether the peer has closed the connection. A change is not made for
// somebody who has given up waiting for this daemon, perhaps long ago, while it was
// stopped.
func left(r *http.Request) bool {
	c, ok := r.Context().Value(peerKey{}).(*conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	gone := true
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd)}} // hang-ups are told unasked
		err := eintr.Again(func() error { _, err := unix.Poll(fds, 0); return err })
		gone = err == nil && fds[0].Revents&unix.POLLHUP != 0
	})
	return err != nil || gone
}

// subject is who the peer acts for.
func subject(ctx context.Context) audit.Subject { return peerOf(ctx).Subject }
