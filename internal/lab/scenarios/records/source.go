//go:build linux

package records

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
)

// Source gives records in the order in which they were written.
type Source interface {
	// Next waits for the next record of IPE until the deadline.
	Next(deadline time.Time) (audit.Record, error)
	Close() error
}

// errNoRecord means that none came in time.
var errNoRecord = errors.New("no record came")

// Netlink, as the name of a source, is the audit subsystem itself.
const Netlink = "netlink"

// Open opens a source: a file that a daemon writes, or Netlink.
func Open(name string) (Source, error) {
	if name == Netlink {
		return openKernel()
	}
	return &file{name: name}, nil
}

// kernel is the audit subsystem's group of those who read along: no rate limit, no
// cut at 1000 bytes as in the kernel log, and no audit daemon is needed.
type kernel struct {
	conn  *netlink.Conn
	queue []netlink.Message
}

// receiveBuffer holds all records of a walk's policy many times over; the kernel
// drops what finds no room, and the next receive says so (ENOBUFS).
const receiveBuffer = 64 << 20

// backlog is how many records may wait for the kernel's thread that sends them.
const backlog = 65536

// setBacklog does what audit_backlog_limit= does on a kernel's command line, which would
// be another one than that of other guests.
func setBacklog() error {
	conn, err := netlink.Dial(unix.NETLINK_AUDIT, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	const member = 0x10 // AUDIT_STATUS_BACKLOG_LIMIT of linux/audit.h
	// struct audit_status: which members count, enabled, failure, pid, rate, backlog.
	data, err := binary.Append(nil, binary.NativeEndian, [6]uint32{member, 0, 0, 0, 0, backlog})
	if err != nil {
		return err
	}
	_, err = conn.Execute(netlink.Message{Header: netlink.Header{Type: unix.AUDIT_SET, Flags: netlink.Request | netlink.Acknowledge}, Data: data})
	return err
}

func openKernel() (*kernel, error) {
	if err := setBacklog(); err != nil {
		return nil, fmt.Errorf("open audit: set the backlog: %w", err)
	}
	conn, err := netlink.Dial(unix.NETLINK_AUDIT, nil)
	if err != nil {
		return nil, fmt.Errorf("open audit: %w", err)
	}
	if err := conn.SetReadBuffer(receiveBuffer); err != nil {
		return nil, fmt.Errorf("open audit: %w", err)
	}
	if err := conn.JoinGroup(unix.AUDIT_NLGRP_READLOG); err != nil {
		return nil, fmt.Errorf("open audit: %w", err)
	}
	// Without an audit daemon the kernel prints each record, which takes longer than
	// all else.
	for name, value := range map[string]string{"printk_ratelimit": "5", "printk": "1"} {
		if err := os.WriteFile("/proc/sys/kernel/"+name, []byte(value), 0); err != nil {
			return nil, fmt.Errorf("open audit: %w", err)
		}
	}
	return &kernel{conn: conn}, nil
}

func (k *kernel) Close() error { return k.conn.Close() }

func (k *kernel) Next(deadline time.Time) (audit.Record, error) {
	if err := k.conn.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	for {
		for len(k.queue) > 0 {
			m := k.queue[0]
			k.queue = k.queue[1:]
			_, r, err := audit.ParseMessage(audit.Type(m.Header.Type), string(bytes.TrimRight(m.Data, "\x00")))
			if errors.Is(err, audit.ErrNotIPE) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("%w: %q", err, m.Data)
			}
			return r, nil
		}
		queue, err := k.conn.Receive()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, errNoRecord
		}
		if err != nil {
			return nil, fmt.Errorf("read audit: %w", err)
		}
		k.queue = queue
	}
}

// file is what a daemon writes as auditd would.
type file struct {
	name string
	f    *os.File
	rest []byte
}

func (l *file) Close() error {
	if l.f == nil {
		return nil
	}
	return l.f.Close()
}

func (l *file) Next(deadline time.Time) (audit.Record, error) {
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if whole {
			l.rest = rest
			_, r, err := audit.Parse(string(line))
			if errors.Is(err, audit.ErrNotIPE) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("%w: %q", err, line)
			}
			return r, nil
		}
		if err := l.more(deadline); err != nil {
			return nil, err
		}
	}
}

// more reads what was written since; the file begins with the first record.
func (l *file) more(deadline time.Time) error {
	buf := make([]byte, 256<<10)
	for ; ; time.Sleep(500 * time.Microsecond) {
		n, err := l.read(buf)
		if n > 0 {
			l.rest = append(bytes.Clone(l.rest), buf[:n]...)
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) && !os.IsNotExist(err) {
			return err
		}
		if time.Now().After(deadline) {
			return errNoRecord
		}
	}
}

func (l *file) read(buf []byte) (n int, err error) {
	if l.f == nil {
		if l.f, err = os.Open(l.name); err != nil {
			l.f = nil
			return 0, err
		}
	}
	return l.f.Read(buf)
}
