package sink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/trail"
	"github.com/ipe-linux/ipe/internal/eintr"
)

const (
	// trustedApp is AUDIT_TRUSTED_APP: a message of a program that may write to the
	// kernel's audit. The types of IPE's own records only the kernel can make.
	trustedApp = 1121
	// maxMessage is AUDIT_MESSAGE_TEXT_MAX, what the kernel takes of a message.
	maxMessage = 8560
	// ackTime is how long the kernel may take to accept a message; it waits while its
	// own backlog is full.
	ackTime = 5 * time.Second
)

// errAnswer means an answer of the kernel that cannot be read.
var errAnswer = errors.New("answer is none to this message")

// netlink hands the texts of records to the kernel's audit. auditd then logs them as
// type=TRUSTED_APP with the sender's credentials and msg='…'.
type netlink struct {
	generation audit.Generation
	fd         int
	seq        uint32
}

func openNetlink(g audit.Generation) (*netlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		return nil, fmt.Errorf("the kernel's audit: %w", err)
	}
	wait := unix.NsecToTimeval(int64(ackTime))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return &netlink{generation: g, fd: fd}, nil
}

func (n *netlink) write(batch []trail.Entry) (int, error) {
	for i, e := range batch {
		if err := n.send(n.text(e)); err != nil {
			return i, fmt.Errorf("the kernel's audit: %w", err)
		}
	}
	return len(batch), nil
}

// text is what stands between the quotes of msg='…'. The kernel adds time and serial.
func (n *netlink) text(e trail.Entry) []byte {
	if count := merged(e); count > 0 {
		return api.MergedText(n.generation, e.Record, count)
	}
	text := fmt.Appendf(nil, "ipe_type=%d ", e.Record.Type())
	return n.generation.Append(text, e.Record)
}

// send sends one message and waits for the kernel's word.
func (n *netlink) send(text []byte) error {
	if len(text) >= maxMessage {
		return unix.EMSGSIZE
	}
	n.seq++
	msg := make([]byte, unix.NLMSG_HDRLEN, unix.NLMSG_HDRLEN+len(text)+1)
	msg = append(append(msg, text...), 0)
	order := binary.NativeEndian
	order.PutUint32(msg[0:], uint32(len(msg)))
	order.PutUint16(msg[4:], trustedApp)
	order.PutUint16(msg[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	order.PutUint32(msg[8:], n.seq)
	err := eintr.Again(func() error { return unix.Sendto(n.fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) })
	if err != nil {
		return err
	}
	return n.answer()
}

func (n *netlink) answer() error {
	buf := make([]byte, maxMessage+unix.NLMSG_HDRLEN)
	for {
		size := 0
		err := eintr.Again(func() (err error) { size, _, err = unix.Recvfrom(n.fd, buf, 0); return err })
		if err != nil {
			return err
		}
		order := binary.NativeEndian
		if size < unix.NLMSG_HDRLEN+4 || order.Uint16(buf[4:]) != unix.NLMSG_ERROR {
			return errAnswer
		}
		if order.Uint32(buf[8:]) != n.seq {
			continue // of one that was given up
		}
		if errno := -int32(order.Uint32(buf[unix.NLMSG_HDRLEN:])); errno != 0 {
			return syscall.Errno(errno)
		}
		return nil
	}
}

func (*netlink) reopen() error { return nil }

func (n *netlink) close() error { return unix.Close(n.fd) }
