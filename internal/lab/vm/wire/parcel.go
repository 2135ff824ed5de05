package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// A guest that starts from a saved state learns what it is for from a disk: a block
// with a Parcel, and behind it an archive (tar) of files for its root. Until there is
// one, the guest waits.
const (
	// ParcelSlot is where that disk is, behind DiskSlots from FirstSlot on for disks of
	// the guest's own: numbers of devices on the PCI bus 0.
	ParcelSlot = FirstSlot + DiskSlots
	FirstSlot  = 0x10
	DiskSlots  = 3
	// ParcelBlock is the size of the block before the archive, in bytes.
	ParcelBlock = 4096
	// ParcelDisk is the size of the disk, in bytes: a state knows it already.
	ParcelDisk = 1 << 30

	// SeedSize is that of its randomness, in bytes.
	SeedSize = 32

	parcelMagic = "ipe-testvm-parcel-1\n"
)

// PCIDevice is the kernel's name of the device in a slot.
func PCIDevice(slot int) string { return fmt.Sprintf("0000:00:%02x.0", slot) }

// ErrNoParcel means that the disk has none yet.
var ErrNoParcel = errors.New("no parcel")

// Parcel is what all guests of one state would have in common otherwise.
type Parcel struct {
	// Now is the time; the clock has stood still since the state was saved.
	Now time.Time
	// Seed is new randomness.
	Seed [SeedSize]byte
}

// Block gives the bytes of the disk's first block.
func (p Parcel) Block() []byte {
	block := make([]byte, 0, ParcelBlock)
	block = append(block, parcelMagic...)
	block = binary.BigEndian.AppendUint64(block, uint64(p.Now.UnixNano()))
	block = append(block, p.Seed[:]...)
	return block[:ParcelBlock]
}

// ReadParcel reads the disk's first block.
func ReadParcel(block []byte) (p Parcel, err error) {
	rest, ok := bytes.CutPrefix(block, []byte(parcelMagic))
	if !ok || len(rest) < 8+SeedSize {
		return p, ErrNoParcel
	}
	p.Now = time.Unix(0, int64(binary.BigEndian.Uint64(rest)))
	copy(p.Seed[:], rest[8:])
	return p, nil
}
