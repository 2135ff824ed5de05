package devmapper

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// VerifyEdge reads the hash tree of an open volume and tells whether it is of as many
// data blocks as the device has, which its root hash does not cover: see
// dmverity.VerifyEdge. Whoever opened the volume may not have looked. A
// *merkle.SizeError is in the chain if it is not; all other errors say why the question
// has no answer.
func (s Status) VerifyEdge() error {
	if err := s.verifyEdge(); err != nil {
		return fmt.Errorf("size of volume %s: %w", plain.Name(s.Name), err)
	}
	return nil
}

func (s Status) verifyEdge() error {
	t := s.Table
	data, err := openNumber(t.DataDevice)
	if err != nil {
		return err
	}
	defer data.Close()
	hashes, err := openNumber(t.HashDevice)
	if err != nil {
		return err
	}
	defer hashes.Close()
	err = dmverity.Image{Volume: t.Volume, Data: data, Hashes: hashes}.VerifyEdge(t.Root)
	if t.FEC == nil || !errors.As(err, new(*merkle.CorruptError)) {
		return err
	}
	parity, err := openNumber(t.FECDevice)
	if err != nil {
		return err
	}
	defer parity.Close()
	return dmverity.Image{Volume: t.Volume, Data: data, Hashes: hashes, Parity: parity, FEC: t.FEC}.VerifyEdgeFEC(t.Root)
}

// openNumber opens the block device "major:minor" for reading.
func openNumber(number string) (*os.File, error) {
	node, _ := Backing(number)
	f, err := os.OpenFile(node, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return nil, fmt.Errorf("look at %s: %w", node, err)
	}
	if got := fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)); st.Mode&unix.S_IFMT != unix.S_IFBLK || got != number {
		f.Close()
		return nil, fmt.Errorf("%s is not block device %s: %w", node, number, unix.ENODEV)
	}
	return f, nil
}
