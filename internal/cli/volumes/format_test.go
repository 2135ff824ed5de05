package volumes

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// unreadable is data that cannot be read from a byte on.
type unreadable struct {
	dmverity.Device
	from int64
}

func (u unreadable) ReadAt(b []byte, at int64) (int, error) {
	if at+int64(len(b)) > u.from {
		return 0, unix.EIO
	}
	return u.Device.ReadAt(b, at)
}

// again is a format over a hash area in a file, which it returns as it was before.
func again(t *testing.T, blocks int64, f volumeFlags) (n *formatting, before []byte) {
	t.Helper()
	hash := filepath.Join(t.TempDir(), "hash")
	v := dmverity.Volume{Superblock: dmverity.Default()}
	v.DataBlocks, v.DataBlockSize, v.HashBlockSize, v.Salt = blocks, 512, 512, []byte{0xc0, 0xff, 0xee}
	run := func(data []byte) *formatting {
		n := &formatting{Volume: v, data: dmverity.ReadOnly(bytes.NewReader(data))}
		if err := n.open(f, hash); err != nil {
			t.Fatal(err)
		}
		return n
	}
	first := run(make([]byte, v.DataSize()))
	_, err := first.write(t.Context(), f, merkle.Options{})
	if err := first.end(err); err != nil {
		t.Fatal(err)
	}
	if before, err = os.ReadFile(hash); err != nil {
		t.Fatal(err)
	}
	return run(bytes.Repeat([]byte("x"), int(v.DataSize()))), before
}

// TestFailedFormat wants what was there as it was, or clearly nothing, and be told which.
func TestFailedFormat(t *testing.T) {
	n, before := again(t, 8192, volumeFlags{})
	n.data = unreadable{n.data, 0}
	_, err := n.write(t.Context(), volumeFlags{}, merkle.Options{})
	name := n.hash.Name()
	if err = n.end(err); !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "are as they were") {
		t.Error(err)
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, before) {
		t.Errorf("the hash area is another: %v", err)
	}

	n, _ = again(t, 8192, volumeFlags{})
	n.data = unreadable{n.data, 3 << 20}
	_, err = n.write(t.Context(), volumeFlags{}, merkle.Options{Workers: 1})
	name = n.hash.Name()
	err = n.end(err)
	if !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "partly overwritten and no volume any more") {
		t.Error(err)
	}
	if h := hint.Of(err); !strings.Contains(h, "--data-block-size 512 --hash-block-size 512 --data-blocks 8192 --salt c0ffee --uuid ") {
		t.Errorf("hint %q", h)
	}
	wantNoVolume(t, name)
}

// TestFailedParity: a superblock comes after the parity, so nothing looks like a volume.
func TestFailedParity(t *testing.T) {
	f := volumeFlags{}
	f.fecDevice, f.fecRoots = filepath.Join(t.TempDir(), "parity"), 2
	n, _ := again(t, 64, f)
	if err := n.parity.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := n.write(t.Context(), f, merkle.Options{})
	wantNoVolume(t, n.hash.Name())
	n.parity.touched.Store(true)
	err = n.end(err)
	if err == nil || !strings.Contains(err.Error(), "parity at 0 of "+f.fecDevice+" is partly overwritten") {
		t.Error(err)
	}
}

// TestFailureAtTheEnd: a volume whose root hash reached nobody is none.
func TestFailureAtTheEnd(t *testing.T) {
	n, _ := again(t, 64, volumeFlags{})
	_, err := n.write(t.Context(), volumeFlags{}, merkle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	name := n.hash.Name()
	if err := n.end(unix.ENOSPC); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "no volume any more") {
		t.Error(err)
	}
	wantNoVolume(t, name)
}

func wantNoVolume(t *testing.T, name string) {
	t.Helper()
	hash, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer hash.Close()
	if v, err := dmverity.ReadSuperblock(hash, 0); !errors.Is(err, dmverity.ErrSuperblock) {
		t.Errorf("a volume of %d blocks: %v", v.DataBlocks, err)
	}
}

// TestRoom wants a device that is too small refused before it is written.
func TestRoom(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	o := &output{File: full, size: 4096}
	if err := o.room("the hash area", 4096); err != nil {
		t.Error(err)
	}
	if err := o.room("the hash area", 4097); !errors.Is(err, unix.ENOSPC) || !strings.HasPrefix(err.Error(), "the hash area ends at 4097, behind the 4096 bytes of /dev/full") {
		t.Error(err)
	}
}
