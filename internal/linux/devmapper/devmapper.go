// Package devmapper makes, shows and removes the kernel's dm-verity devices.
//
// It talks to device-mapper through /dev/mapper/control (the interface of
// include/uapi/linux/dm-ioctl.h), attaches files to loop devices, and hands the
// signature of a root hash over in a key. No program and no library does any of that
// for it, and a device that it opened is one that veritysetup(8) and dmsetup(8) know:
// names and UUIDs are written as theirs.
//
//	d, err := devmapper.Open(devmapper.Request{Name: "usr", Table: table, Data: data, Hash: hash})
//	// /dev/mapper/usr is there
//	pending, err := devmapper.Close("usr", false)
//
// Everything here needs root, or rather CAP_SYS_ADMIN where the device nodes are. A
// device belongs to the whole machine, whoever made it.
package devmapper

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/internal/plain"
)

var (
	// ErrNoDeviceMapper says that there is no /dev/mapper/control.
	ErrNoDeviceMapper = numbered(unix.ENODEV, "no device-mapper")
	// ErrNoLoop says that there is no /dev/loop-control.
	ErrNoLoop = numbered(unix.ENODEV, "no loop devices")
	// ErrLoopTaken says that others took each loop device that was free a moment before.
	ErrLoopTaken = numbered(unix.EBUSY, "no loop device stayed free")
	// ErrNoTarget says that the kernel has no verity target, and could load none.
	ErrNoTarget = numbered(unix.ENODEV, "no dm-verity")
	// ErrName says that a device cannot have such a name.
	ErrName = numbered(unix.EINVAL, "not a name of a device")
	// ErrExists says that a device of this name, or UUID, is there already.
	ErrExists = numbered(unix.EEXIST, "already exists")
	// ErrInactive says that there is no device of this name.
	ErrInactive = numbered(unix.ENODEV, "no such device")
	// ErrNotVerity says that a device is there, but none of dm-verity.
	ErrNotVerity = numbered(unix.ENODEV, "not a dm-verity device")
	// ErrParams says that a volume cannot be opened with what was given.
	ErrParams = numbered(unix.EINVAL, "impossible volume")
)

// sentinel is an error with a number, by which package errno, which this one must not know,
// and so scripts tell it from others.
type sentinel struct {
	text   string
	number syscall.Errno
}

func numbered(number syscall.Errno, text string) error { return &sentinel{text, number} }

func (s *sentinel) Error() string        { return s.text }
func (s *sentinel) Errno() syscall.Errno { return s.number }

// UnsupportedError says that the kernel's verity target is too old for something.
type UnsupportedError struct {
	Option     string      // what was wanted
	Need, Have abi.Version // versions of the target, not of the kernel
	Linux      string      // the kernel that was the first to have it
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s needs dm-verity %v (Linux %s), and this kernel's is %v", e.Option, e.Need, e.Linux, e.Have)
}

// Device is a device of device-mapper.
type Device struct {
	// Name is without the escapes that it has in the kernel; see Mangle.
	Name, UUID   string
	Major, Minor uint32
	// Opens is how often it is open: mounts, other devices, processes.
	Opens    int
	ReadOnly bool
	// Deferred says that it goes away when its last user closes it.
	Deferred bool
}

// Dir is where devices have their nodes.
const Dir = "/dev/mapper"

// Path returns the device's node.
func (d Device) Path() string { return Path(d.Name) }

// Path returns where the node of a device with this name is.
func Path(name string) string {
	if m, err := Mangle(name); err == nil {
		name = m
	}
	return Dir + "/" + name
}

func device(h *unix.DmIoctl) Device {
	return Device{
		Name: Unmangle(unix.ByteSliceToString(h.Name[:])), UUID: unix.ByteSliceToString(h.Uuid[:]),
		Major: unix.Major(h.Dev), Minor: unix.Minor(h.Dev), Opens: int(h.Open_count),
		ReadOnly: h.Flags&unix.DM_READONLY_FLAG != 0, Deferred: h.Flags&unix.DM_DEFERRED_REMOVE != 0,
	}
}

// bare are the characters besides letters and digits that stand for themselves in
// the names that libdevmapper makes.
const bare = "#+-.:=@_"

func isBare(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte(bare, c) >= 0
}

// escapeLength is the length of an escape, \x and two hex digits.
const escapeLength = 4

// unescape reads the escape that s begins with, if it does.
func unescape(s string) (c byte, ok bool) {
	if len(s) < escapeLength || s[:2] != `\x` {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:escapeLength], 16, 8)
	return byte(n), err == nil
}

// Mangle returns the name as the kernel gets it from libdevmapper: all bytes but
// letters, digits and #+-.:=@_ as \xNN. A name that has such escapes is taken to be
// mangled already. Errors wrap ErrName: for one that is empty, too long, or the name
// of something else.
func Mangle(name string) (string, error) {
	var b strings.Builder
	var raw, mangled bool
	for i := 0; i < len(name); i++ {
		if _, ok := unescape(name[i:]); ok {
			mangled = true
			b.WriteString(name[i : i+escapeLength])
			i += escapeLength - 1
			continue
		}
		if isBare(name[i]) {
			b.WriteByte(name[i])
			continue
		}
		raw = true
		fmt.Fprintf(&b, `\x%02x`, name[i])
	}
	switch {
	case raw && mangled:
		return "", fmt.Errorf("%w: %s has both escapes and what should be escaped", ErrName, plain.Name(name))
	case strings.ContainsAny(name, "/\x00"):
		return "", fmt.Errorf("%w: %s has a slash or a zero byte in it", ErrName, plain.Name(name))
	case name == "" || name == "." || name == ".." || name == unix.DM_CONTROL_NODE:
		return "", fmt.Errorf("%w: %s", ErrName, plain.Name(name))
	case b.Len() >= unix.DM_NAME_LEN:
		return "", fmt.Errorf("%w: %d bytes, more than %d, of which each special character takes 4", ErrName, b.Len(), unix.DM_NAME_LEN-1)
	}
	return b.String(), nil
}

// Unmangle undoes Mangle.
func Unmangle(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		c, ok := unescape(name[i:])
		if !ok {
			b.WriteByte(name[i])
			continue
		}
		b.WriteByte(c)
		i += escapeLength - 1
	}
	return b.String()
}
