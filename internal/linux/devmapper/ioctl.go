package devmapper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/eintr"
	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/internal/plain"
)

// control is an open /dev/mapper/control.
type control struct{ f *os.File }

func openControl() (*control, error) {
	f, err := os.OpenFile(Dir+"/"+unix.DM_CONTROL_NODE, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return nil, fmt.Errorf("%w: %w", ErrNoDeviceMapper, err)
	case err != nil:
		return nil, err
	}
	return &control{f}, nil
}

func (c *control) close() { c.f.Close() }

// What an answer of the kernel may need: enough for most at first, and a limit
// that no kernel reaches.
const (
	firstAnswer = 16 << 10
	maxAnswer   = 16 << 20
)

// version is that of the ioctl interface that is spoken here. The kernel takes all
// of the same major number that are not newer than its own.
func version() [3]uint32 { return [3]uint32{4, 0, 0} }

// message is one request: a header, what the kernel is given behind it, and its
// answer in the same place.
type message struct {
	header unix.DmIoctl
	data   []byte
}

// ask does one ioctl. A message without data gets as much room as the answer needs.
func (c *control) ask(request uint, m *message) error {
	size := len(m.data)
	if size == 0 {
		size = firstAnswer
	}
	for ; ; size *= 2 {
		answer, full, err := c.askOnce(request, m, size)
		if err != nil {
			return err
		}
		if !full || size >= maxAnswer {
			m.header, m.data = answer.header, answer.data
			return nil
		}
	}
}

// askOnce does it with a certain room.
func (c *control) askOnce(request uint, m *message, size int) (answer message, full bool, err error) {
	// Of 64-bit words, for the kernel reads structures there.
	words := make([]uint64, (unix.SizeofDmIoctl+size+7)/8)
	buf := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 8*len(words))
	h := (*unix.DmIoctl)(unsafe.Pointer(&words[0]))
	*h = m.header
	h.Version, h.Data_size, h.Data_start = version(), uint32(len(buf)), unix.SizeofDmIoctl
	copy(buf[unix.SizeofDmIoctl:], m.data)
	err = eintr.Again(func() error {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, c.f.Fd(), uintptr(request), uintptr(unsafe.Pointer(&words[0]))); errno != 0 {
			return errno
		}
		return nil
	})
	if err != nil {
		return message{}, false, err
	}
	from, to := h.Data_start, h.Data_size
	if from > uint32(len(buf)) || to > uint32(len(buf)) {
		return message{}, false, fmt.Errorf("%w: answer from %d to %d in %d bytes", unix.EPROTO, from, to, len(buf))
	}
	// An answer without data ends before its beginning.
	return message{header: *h, data: buf[from:max(from, to)]}, h.Flags&unix.DM_BUFFER_FULL_FLAG != 0, nil
}

// named begins a message about a device.
func named(mangled string) *message {
	m := &message{}
	copy(m.header.Name[:len(m.header.Name)-1], mangled)
	return m
}

// targetVersion asks for the version of a target; the kernel tries to load its
// module (DM_GET_TARGET_VERSION, Linux 5.4).
func (c *control) targetVersion(target string) (abi.Version, error) {
	m := named(target)
	err := c.ask(unix.DM_GET_TARGET_VERSION, m)
	if errors.Is(err, unix.EINVAL) {
		return abi.Version{}, fmt.Errorf("%w: the kernel knows no target %s", ErrNoTarget, plain.Name(target))
	}
	if err != nil {
		return abi.Version{}, fmt.Errorf("ask for target %s: %w", target, err)
	}
	return parseVersion(m.data)
}

// devices lists all devices: their names and numbers.
func (c *control) devices() ([]listed, error) {
	m := &message{}
	if err := c.ask(unix.DM_LIST_DEVICES, m); err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	return parseNames(m.data)
}

// create makes a device that has no table yet.
func (c *control) create(mangled, uuid string) (Device, error) {
	m := named(mangled)
	copy(m.header.Uuid[:len(m.header.Uuid)-1], uuid)
	err := c.ask(unix.DM_DEV_CREATE, m)
	if errors.Is(err, unix.EBUSY) {
		// In the words of veritysetup(8), which scripts look for.
		return Device{}, fmt.Errorf("create: Device %s %w", mangled, ErrExists)
	}
	if err != nil {
		return Device{}, fmt.Errorf("create device: %w", err)
	}
	return device(&m.header), nil
}

// load gives a device its table, read-only.
func (c *control) load(mangled string, t target) error {
	m := named(mangled)
	m.header.Flags, m.header.Target_count = unix.DM_READONLY_FLAG, 1
	m.data = t.marshal()
	if err := c.ask(unix.DM_TABLE_LOAD, m); err != nil {
		return fmt.Errorf("load table: %w", err)
	}
	return nil
}

// primarySource tells the rules of udev that this event comes from who made the
// device, so that they take it in, links and all, and not for a spurious one
// (DM_UDEV_PRIMARY_SOURCE_FLAG in libdevmapper.h, in the upper half of a cookie). The
// lower half is zero: nobody waits for udev.
const primarySource = 0x40 << 16

// resume makes the loaded table the live one.
func (c *control) resume(mangled string) (Device, error) {
	m := named(mangled)
	m.header.Event_nr = primarySource
	if err := c.ask(unix.DM_DEV_SUSPEND, m); err != nil {
		return Device{}, fmt.Errorf("resume device: %w", err)
	}
	return device(&m.header), nil
}

// remove takes a device away, or, if it is in use and deferred is set, has the
// kernel do so as soon as it is not; pending says that this is so.
func (c *control) remove(mangled string, deferred bool) (pending bool, err error) {
	m := named(mangled)
	if deferred {
		m.header.Flags |= unix.DM_DEFERRED_REMOVE
	}
	if err := c.ask(unix.DM_DEV_REMOVE, m); err != nil {
		return false, fmt.Errorf("remove device: %w", inactive(err))
	}
	return m.header.Flags&unix.DM_DEFERRED_REMOVE != 0, nil
}

// keep takes back a removal that was deferred. The kernel has no request of its own for
// that, but a message (message_for_md in drivers/md/dm-ioctl.c).
func (c *control) keep(mangled string) error {
	m := named(mangled)
	m.data = append(make([]byte, messageText), "@cancel_deferred_remove\x00"...)
	if err := c.ask(unix.DM_TARGET_MSG, m); err != nil {
		return fmt.Errorf("cancel removal: %w", inactive(err))
	}
	return nil
}

// state asks what a device is.
func (c *control) state(mangled string) (Device, error) {
	m := named(mangled)
	if err := c.ask(unix.DM_DEV_STATUS, m); err != nil {
		return Device{}, fmt.Errorf("ask for device: %w", inactive(err))
	}
	return device(&m.header), nil
}

// targets returns the live table of a device, or what its targets say of their state.
func (c *control) targets(mangled string, table bool) ([]target, error) {
	m := named(mangled)
	if table {
		m.header.Flags |= unix.DM_STATUS_TABLE_FLAG
	}
	if err := c.ask(unix.DM_TABLE_STATUS, m); err != nil {
		return nil, fmt.Errorf("ask for table: %w", inactive(err))
	}
	return parseTargets(m.data, int(m.header.Target_count))
}

// inactive puts a word to the error for a device that is not there.
func inactive(err error) error {
	if errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("%w: %w", ErrInactive, err)
	}
	return err
}
