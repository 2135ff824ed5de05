package devmapper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// loopTries is how often a number is asked for that somebody else then takes first.
const loopTries = 64

// attach makes a read-only loop device of a file. It goes away when the last who has
// it open closes it: whoever made it, or the device that was made on top.
//
// It reads without a second cache, if the file system can do that, for what is read
// is cached above it.
func attach(file *os.File) (*os.File, error) {
	ctl, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil, fmt.Errorf("%w: %w", ErrNoLoop, err)
	}
	if err != nil {
		return nil, err
	}
	defer ctl.Close()
	for range loopTries {
		var loop *os.File
		loop, err = attachNext(ctl, file)
		if err == nil || !errors.Is(err, unix.EBUSY) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENXIO) {
			return loop, err
		}
	}
	return nil, fmt.Errorf("%w: tried %d: %w", ErrLoopTaken, loopTries, err)
}

// attachNext tries the next free number; EBUSY, or that there is no such device,
// says that it is not free any more.
func attachNext(ctl, file *os.File) (*os.File, error) {
	n, err := unix.IoctlRetInt(int(ctl.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return nil, fmt.Errorf("find free loop device: %w", err)
	}
	loop, err := os.Open(fmt.Sprintf("/dev/loop%d", n))
	if err != nil {
		return nil, err
	}
	flags := uint32(unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR)
	err = configure(loop, file, flags|unix.LO_FLAGS_DIRECT_IO)
	if errors.Is(err, unix.EINVAL) {
		err = configure(loop, file, flags)
	}
	if err != nil {
		loop.Close()
		return nil, fmt.Errorf("attach %s to %s: %w", file.Name(), loop.Name(), err)
	}
	return loop, nil
}

// configure is LOOP_CONFIGURE. With the smallest sector there is, a volume has the
// same blocks whatever the file lies on.
func configure(loop, file *os.File, flags uint32) error {
	c := unix.LoopConfig{Fd: uint32(file.Fd()), Size: sector, Info: unix.LoopInfo64{Flags: flags}}
	copy(c.Info.File_name[:len(c.Info.File_name)-1], file.Name())
	return unix.IoctlLoopConfigure(int(loop.Fd()), &c)
}

// source is a block device under a volume.
type source struct {
	number string   // "major:minor", as a table names it
	loop   *os.File // keeps it while nobody else does; nil if it is no loop of ours
	block  int      // smallest readable block, in bytes
	size   int64
}

func (s source) close() {
	if s.loop != nil {
		s.loop.Close()
	}
}

// newSource makes a device of a file, or takes the device that it is.
func newSource(file *os.File) (s source, err error) {
	st, err := file.Stat()
	if err != nil {
		return s, err
	}
	dev := file
	switch mode := st.Mode(); {
	case mode.IsRegular():
		if s.loop, err = attach(file); err != nil {
			return s, err
		}
		dev = s.loop
	case mode&fs.ModeDevice == 0 || mode&fs.ModeCharDevice != 0:
		return s, fmt.Errorf("%s: neither a regular file nor a block device", file.Name())
	}
	if err := s.look(dev); err != nil {
		s.close()
		return s, err
	}
	return s, nil
}

// look asks a block device what it is.
func (s *source) look(dev *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(dev.Fd()), &st); err != nil {
		return &fs.PathError{Op: "stat", Path: dev.Name(), Err: err}
	}
	s.number = fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	block, err := unix.IoctlGetInt(int(dev.Fd()), unix.BLKSSZGET)
	if err != nil {
		return fmt.Errorf("%s: ask for block size: %w", dev.Name(), err)
	}
	s.block = block
	s.size, err = unix.Seek(int(dev.Fd()), 0, unix.SEEK_END)
	if err != nil {
		return fmt.Errorf("%s: ask for size: %w", dev.Name(), err)
	}
	return nil
}
