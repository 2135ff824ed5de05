//go:build guest

package bpf_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
)

// TestPeerRecords has the kernel's own IPE and ours record the same events, by the same
// policy: the texts are the same, byte for byte.
func TestPeerRecords(t *testing.T) {
	const statements = "DEFAULT action=ALLOW\nDEFAULT op=KMODULE action=DENY\n"
	e := open(t)
	log := listenAudit(t)
	newPeer(t).decideBy(t, "records", "policy_name=records policy_version=0.0.1\n"+statements)
	for node, value := range map[string]string{"enforce": "0", "success_audit": "1"} {
		check0(t, os.WriteFile(kernelIPE+node, []byte(value), 0))
	}
	p, err := policy.Parse([]byte("policy_name=records policy_version=0.0.1\n" + statements))
	check0(t, err)
	check0(t, e.SetMode(engine.Mode{SuccessAudit: true}))
	check0(t, e.Activate(engine.Active{Policy: p}))
	rec := newRecorder(t, e)
	compared := 0
	compare := func(t *testing.T, u use, fd int, _ string) {
		rec.drain()
		log.drain()
		if tried, _ := u.try(fd); !tried {
			return
		}
		theirs := log.next(t, u.hook.String())
		ev, ok := rec.next(u.hook)
		ours := access(t, ev, p)
		if !ok || ours != theirs {
			t.Errorf("%s:\nkernel: %s\nours:   %s", u.name, theirs, ours)
		}
		compared++
	}
	eachUse(t, compare)
	for _, m := range memories() {
		compare(t, use{m.name, m.hook, func(int) (bool, error) { return true, m.try() }}, -1, "")
	}
	t.Logf("%d records compared", compared)
	check0(t, os.WriteFile(kernelIPE+"success_audit", []byte("0"), 0))
}

// access is the record of an event.
func access(t *testing.T, ev engine.Event, p *policy.Policy) string {
	t.Helper()
	rule, err := eval.StatementOf(p, ev.Event.Op, ev.Decision)
	check0(t, err)
	a := audit.Access{Op: ev.Event.Op, Hook: ev.Event.Hook, Enforcing: ev.Enforcing, PID: ev.PID, Comm: ev.Comm, Rule: audit.Statement(rule)}
	if ev.Path != "" {
		a.File = &audit.File{Path: ev.Path, Dev: ev.Device, Ino: ev.Inode}
	}
	return a.String()
}

// auditLog is the kernel's records as they are broadcast, whole, unlike in its log.
type auditLog struct{ fd int }

func listenAudit(t *testing.T) auditLog {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	check0(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	const readLog = 1 // AUDIT_NLGRP_READLOG
	check0(t, unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (readLog - 1)}))
	wait := unix.NsecToTimeval(int64(50 * time.Millisecond))
	check0(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait))
	return auditLog{fd}
}

// read returns one message, or an empty one if none comes.
func (l auditLog) read() (typ uint16, text string) {
	buf := make([]byte, 16384)
	n, _, err := unix.Recvfrom(l.fd, buf, 0)
	if err != nil || n < unix.NLMSG_HDRLEN {
		return 0, ""
	}
	return binary.NativeEndian.Uint16(buf[4:]), strings.TrimRight(string(buf[unix.NLMSG_HDRLEN:n]), "\x00")
}

func (l auditLog) drain() {
	for {
		if typ, _ := l.read(); typ == 0 {
			return
		}
	}
}

// next waits for this process's record of a decision at a hook.
func (l auditLog) next(t *testing.T, hook string) string {
	t.Helper()
	mine := fmt.Sprintf(" ipe_hook=%s enforcing=0 pid=%d ", hook, os.Getpid())
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		typ, text := l.read()
		_, text, _ = strings.Cut(text, ": ")
		if typ == uint16(audit.TypeAccess) && strings.Contains(text, mine) {
			return text
		}
	}
	t.Error("the kernel recorded nothing")
	return ""
}
