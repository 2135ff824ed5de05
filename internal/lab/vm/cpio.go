package vm

import (
	"fmt"
	"io"
)

// File types and the trailer of the "newc" format, cpio's new ASCII format with
// six hexadecimal digits of magic and thirteen numbers of eight digits; see
// Documentation/driver-api/early-userspace/buffer-format.rst.
const (
	cpioDir     = 0o040000
	cpioChar    = 0o020000
	cpioRegular = 0o100000
	cpioSymlink = 0o120000
	cpioTrailer = "TRAILER!!!"
)

// cpioWriter writes a newc archive that depends on nothing but its entries: inodes
// are numbered in order, every time is zero, every owner is root.
type cpioWriter struct {
	w     io.Writer
	inode uint32
	size  int64
}

// entry is one archive member. Body has exactly size bytes and may be nil when
// size is zero.
type entry struct {
	name         string
	mode         uint32
	major, minor uint32
	size         int64
	body         io.Reader
}

func (c *cpioWriter) add(e entry) error {
	if e.size < 0 || e.size > 0xffff_ffff {
		return fmt.Errorf("archive %s: %d bytes do not fit the format", e.name, e.size)
	}
	c.inode++
	if err := c.header(e); err != nil {
		return fmt.Errorf("archive %s: %w", e.name, err)
	}
	if e.size > 0 {
		n, err := io.CopyN(c.w, e.body, e.size)
		c.size += n
		if err != nil {
			return fmt.Errorf("archive %s: %w", e.name, err)
		}
	}
	return c.pad()
}

func (c *cpioWriter) header(e entry) error {
	fields := [13]uint32{0: c.inode, 1: e.mode, 4: 1, 6: uint32(e.size), 9: e.major, 10: e.minor, 11: uint32(len(e.name) + 1)}
	head := []byte("070701")
	for _, f := range fields {
		head = fmt.Appendf(head, "%08x", f)
	}
	head = append(append(head, e.name...), 0)
	n, err := c.w.Write(head)
	c.size += int64(n)
	if err != nil {
		return err
	}
	return c.pad()
}

// pad brings the archive to a multiple of four bytes.
func (c *cpioWriter) pad() error {
	n, err := c.w.Write(make([]byte, -c.size&3))
	c.size += int64(n)
	return err
}

// finish writes the trailer.
func (c *cpioWriter) finish() error {
	return c.add(entry{name: cpioTrailer})
}
