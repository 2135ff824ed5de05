package securityfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"github.com/mdlayher/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
)

const (
	// bufferSize of the socket: some ten thousand records.
	bufferSize = 8 << 20
	// answerTime is how long the kernel may take to describe its audit system.
	answerTime = 2 * time.Second
	// typeOffset is where a netlink message has its type.
	typeOffset = 4
	// maxMessage is more than the longest record that a kernel sends.
	maxMessage = 16 << 10
)

// listen joins the multicast group of all audit records and lets those of IPE pass.
// It disturbs no audit daemon, and needs none.
func listen() (*netlink.Conn, error) {
	conn, err := netlink.Dial(unix.NETLINK_AUDIT, &netlink.Config{MessageBufferSize: maxMessage})
	if err != nil {
		return nil, fmt.Errorf("open audit socket: %w", err)
	}
	if err := errors.Join(filter(conn), conn.SetReadBuffer(bufferSize), conn.JoinGroup(unix.AUDIT_NLGRP_READLOG)); err != nil {
		conn.Close()
		return nil, fmt.Errorf("listen for audit records: %w", err)
	}
	return conn, nil
}

// filter drops what is not of interest before it takes room in the buffer.
func filter(conn *netlink.Conn) error {
	wanted := []audit.Type{audit.TypeAccess, audit.TypeConfigChange, audit.TypePolicyLoad, audit.TypeStatus}
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: typeOffset, Size: 2}}
	for i, t := range wanted {
		// Types are in the order of the machine, and the load is in that of networks.
		raw := binary.NativeEndian.AppendUint16(nil, uint16(t))
		program = append(program, bpf.JumpIf{
			Cond: bpf.JumpEqual, Val: uint32(binary.BigEndian.Uint16(raw)), SkipTrue: uint8(len(wanted) - i),
		})
	}
	program = append(program, bpf.RetConstant{Val: 0}, bpf.RetConstant{Val: ^uint32(0)})
	raw, err := bpf.Assemble(program)
	if err != nil {
		return fmt.Errorf("assemble filter: %w", err)
	}
	if err := conn.SetBPF(raw); err != nil {
		return fmt.Errorf("set filter: %w", err)
	}
	return nil
}

// dropped counts the records that found the socket's buffer full.
func dropped(conn *netlink.Conn) (uint64, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("count dropped records: %w", err)
	}
	var info [unix.SK_MEMINFO_VARS]uint32
	var serr error
	if err := raw.Control(func(fd uintptr) { serr = meminfo(int(fd), info[:]) }); err != nil {
		return 0, fmt.Errorf("count dropped records: %w", err)
	}
	if serr != nil {
		return 0, fmt.Errorf("count dropped records: %w", serr)
	}
	return uint64(info[unix.SK_MEMINFO_DROPS]), nil
}

// meminfo reads the socket's counters.
func meminfo(fd int, info []uint32) error {
	size := uint32(len(info)) * uint32(unsafe.Sizeof(info[0]))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// lostWord is where the kernel's struct audit_status has the count of lost records.
const lostWord = 6

// kernelLost is what the audit system says it lost since boot, of any type: by its
// own limits, or for want of an audit daemon where one was asked for.
func kernelLost() (uint64, error) {
	conn, err := netlink.Dial(unix.NETLINK_AUDIT, nil)
	if err != nil {
		return 0, fmt.Errorf("ask the audit system: %w", err)
	}
	defer conn.Close()
	ask := netlink.Message{Header: netlink.Header{Type: unix.AUDIT_GET, Flags: netlink.Request}}
	if _, err := conn.Send(ask); err != nil {
		return 0, fmt.Errorf("ask the audit system: %w", err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(answerTime)); err != nil {
		return 0, fmt.Errorf("ask the audit system: %w", err)
	}
	for {
		answers, err := conn.Receive()
		if err != nil {
			return 0, fmt.Errorf("ask the audit system: %w", err)
		}
		for _, a := range answers {
			if words := a.Data; a.Header.Type == unix.AUDIT_GET && len(words) >= 4*(lostWord+1) {
				return uint64(binary.NativeEndian.Uint32(words[4*lostWord:])), nil
			}
		}
	}
}
