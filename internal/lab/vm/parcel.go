//go:build linux

package vm

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm/wire"
)

// errLarge means that the files of a run do not fit a parcel.
var errLarge = errors.New("more files than a parcel holds")

// writeParcel makes the disk that tells a restored guest what it is for.
func writeParcel(ctx context.Context, cfg Config, dst string) error {
	all, err := guestFiles(ctx, cfg)
	if err != nil {
		return err
	}
	err = create(dst, func(w io.Writer) error {
		p := wire.Parcel{Now: time.Now()}
		_, _ = rand.Read(p.Seed[:]) // never fails
		if _, err := w.Write(p.Block()); err != nil {
			return err
		}
		return writeTree(tarWriter{tar.NewWriter(w)}, all)
	})
	if err != nil {
		return err
	}
	st, err := os.Stat(dst)
	if err != nil {
		return err
	}
	if st.Size() > wire.ParcelDisk {
		return errLarge
	}
	return os.Truncate(dst, wire.ParcelDisk)
}

// parcelArgs attaches a parcel, or the empty place of one, and the guest's disks. Places
// that are not used, as all are when a state is saved, have a disk of nothing. It is
// writable, for a guest keeps to what a device could do when the state was saved.
func parcelArgs(file string, disks []Disk) (args []string) {
	for i := range wire.DiskSlots {
		drive := "driver=null-co,size=1M,read-zeroes=on"
		if i < len(disks) {
			drive = "format=raw," + fileOf(disks[i])
		}
		args = append(args, atSlot(drive, fmt.Sprintf("disk%d", i), wire.FirstSlot+i)...)
	}
	return append(args, atSlot("format=raw,"+fileOf(Disk{Path: file, ReadOnly: true}), "parcel", wire.ParcelSlot)...)
}

func atSlot(drive, id string, slot int) []string {
	return []string{"-drive", "if=none,id=" + id + "," + drive, "-device", fmt.Sprintf("virtio-blk-pci,drive=%s,addr=%#x", id, slot)}
}
