package controlrpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control"
)

// peer is who connected, with the rights it had at that time, as the kernel
// looks at the credentials that a node was opened with.
type peer struct {
	uid       uint32
	subject   audit.Subject
	known     bool
	mayChange bool
}

type peerKey struct{}

// withPeer notes the peer of a new connection.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	p := peer{}
	if pc, ok := c.(*conn); ok {
		p = pc.peer
	}
	return context.WithValue(ctx, peerKey{}, p)
}

// mayChange returns ErrPrivilege unless the connection's peer is privileged.
func mayChange(ctx context.Context) error {
	p, ok := ctx.Value(peerKey{}).(peer)
	if !ok || !p.known || !p.mayChange {
		return control.ErrPrivilege
	}
	return nil
}

// subject is who the peer acts for.
func subject(ctx context.Context) audit.Subject {
	p, ok := ctx.Value(peerKey{}).(peer)
	if !ok || !p.known {
		return audit.Subject{AUID: audit.Unset, Session: audit.Unset}
	}
	return p.subject
}

// peerOf asks the kernel who connected. The uid is the authority: it is the
// kernel's own answer about connect time. The capability is looked up by process
// id afterwards, a number that can have been given to another process since, so
// it can only take rights away. A peer that has ended has none; one that lives
// and cannot be looked at (hidepid, another PID namespace) keeps what its uid gives.
func peerOf(c *net.UnixConn) peer {
	var cred *unix.Ucred
	raw, err := c.SyscallConn()
	if err != nil {
		return peer{}
	}
	var serr error
	err = raw.Control(func(fd uintptr) {
		cred, serr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil || serr != nil {
		return peer{}
	}
	p := peer{uid: cred.Uid, known: true, subject: control.SubjectOf(uint32(cred.Pid))}
	p.mayChange = cred.Uid == 0 && !lacksCapability(cred.Pid)
	return p
}

// lacksCapability reports whether a process is seen to be without CAP_MAC_ADMIN,
// or cannot be seen any longer: its connection may have been left to a child.
func lacksCapability(pid int32) bool {
	caps, err := effectiveCaps(pid)
	if err != nil {
		return pid > 0 && errors.Is(unix.Kill(int(pid), 0), unix.ESRCH)
	}
	return caps&(1<<unix.CAP_MAC_ADMIN) == 0
}

func effectiveCaps(pid int32) (uint64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if v, ok := strings.CutPrefix(sc.Text(), "CapEff:"); ok {
			return strconv.ParseUint(strings.TrimSpace(v), 16, 64)
		}
	}
	return 0, fmt.Errorf("%s: no CapEff", f.Name())
}
