package dmverity_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// countedDevice is a device that counts reads.
type countedDevice struct {
	dmverity.Device
	reads atomic.Int64
}

func (c *countedDevice) ReadAt(b []byte, at int64) (int, error) {
	c.reads.Add(1)
	return c.Device.ReadAt(b, at)
}

// threeRounds is a volume whose blocks lie in three rounds, with two roots; it has the data
// of seed.
func threeRounds(t *testing.T) *damage {
	t.Helper()
	v := &volume{fec: dmverity.FEC{Roots: 2}, Volume: dmverity.Volume{Superblock: good()}}
	v.DataBlocks, v.DataBlockSize, v.HashBlockSize = 600, 512, 512
	v.data = random(rand.New(rand.NewPCG(1, 2)), int(v.DataSize()))
	d := v.damage()
	im := dmverity.Image{Volume: v.Volume, Data: &d.data, Hashes: &d.hash, Parity: &d.parity, FEC: &v.fec}
	var err error
	if v.root, err = im.Format(t.Context(), merkle.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := im.EncodeFEC(t.Context(), merkle.Options{}); err != nil {
		t.Fatal(err)
	}
	v.hash, v.parity = bytes.Clone(d.hash.data), bytes.Clone(d.parity.data)
	return d
}

// spoil makes something else of data blocks.
func (d *damage) spoil(blocks ...int) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, b := range blocks {
		copy(d.data.data[b*d.DataBlockSize:], random(r, d.DataBlockSize))
	}
}

// repair returns how many blocks were restored, how many are bad then, and how often parity
// was read.
func (d *damage) repair(t *testing.T) (done int, left int64, reads int64, why dmverity.UncorrectableError) {
	t.Helper()
	parity := &countedDevice{Device: &d.parity}
	all, err := dmverity.Image{Volume: d.Volume, Data: &d.data, Hashes: &d.hash, Parity: parity, FEC: &d.fec}.Repair(t.Context(), d.root, merkle.Options{})
	var corrupt *merkle.CorruptError
	var uncorrectable *dmverity.UncorrectableError
	if !errors.Is(err, dmverity.ErrUncorrectable) || !errors.As(err, &corrupt) || !errors.As(err, &uncorrectable) {
		t.Fatal(err)
	}
	return len(all), corrupt.Count, parity.reads.Load(), *uncorrectable
}

// TestRepairGivesUp wants a hopeless volume given up round by round, not block by block.
func TestRepairGivesUp(t *testing.T) {
	d := threeRounds(t)
	all := make([]int, d.DataBlocks)
	for i := range all {
		all[i] = i
	}
	d.spoil(all...)
	done, left, reads, why := d.repair(t)
	if done != 0 || left != d.DataBlocks || why != (dmverity.UncorrectableError{Roots: 2, Crowded: 3}) {
		t.Errorf("%d blocks restored, %d are bad, %+v", done, left, why)
	}
	if reads > 6 {
		t.Errorf("parity was read %d times for 3 rounds", reads)
	}
}

// TestRepairRestoresTheRest wants all that can be restored to be, whatever is given up.
func TestRepairRestoresTheRest(t *testing.T) {
	d := threeRounds(t)
	d.spoil(0, 3, 6, 1, 4, 599) // 0, 3, 6 in round 0; 1, 4 in 1; 599 in 2
	done, left, _, why := d.repair(t)
	if done != 3 || left != 3 || why != (dmverity.UncorrectableError{Roots: 2, Crowded: 1}) {
		t.Errorf("%d blocks restored, %d are bad, %+v", done, left, why)
	}
	if want := "more errors than parity can undo: in 1 of the groups of blocks that share parity, more than 2 blocks are bad"; why.Error() != want {
		t.Errorf("%q, want %q", why.Error(), want)
	}
}

// TestRepairOfHashesReopens: once a hash block is restored, what was given up is tried again,
// for other digests are wanted.
func TestRepairOfHashesReopens(t *testing.T) {
	d := threeRounds(t)
	d.spoil(16, 19) // two of round 1, below hash block 1 of level 0, behind four of the levels above
	at := d.TreeOffset() + 5*int64(d.HashBlockSize)
	copy(d.hash.data[at:], random(rand.New(rand.NewPCG(5, 6)), d.HashBlockSize))
	d.mended(t)
}

// TestRepairBlamesDigests: a round in which nothing is wrong is tried once, however many of
// its blocks have another digest than a damaged tree wants.
func TestRepairBlamesDigests(t *testing.T) {
	d := threeRounds(t)
	clear(d.hash.data[d.TreeOffset():])
	if err := (dmverity.Image{Volume: d.Volume, Data: &d.data, Hashes: &d.hash, Parity: &d.parity, FEC: &d.fec}).EncodeFEC(t.Context(), merkle.Options{}); err != nil {
		t.Fatal(err)
	}
	done, left, reads, _ := d.repair(t)
	if done != 0 || left < d.DataBlocks || reads > 3 {
		t.Errorf("%d blocks restored, %d are bad, parity was read %d times for 3 rounds", done, left, reads)
	}
}

// TestRepairBlamesParity wants parity of something else told from too much damage.
func TestRepairBlamesParity(t *testing.T) {
	d := threeRounds(t)
	d.spoil(7)
	copy(d.parity.data, random(rand.New(rand.NewPCG(7, 8)), len(d.parity.data)))
	done, left, _, why := d.repair(t)
	if done != 0 || left != 1 || why != (dmverity.UncorrectableError{Roots: 2, Parity: 1}) {
		t.Errorf("%d blocks restored, %d are bad, %+v", done, left, why)
	}
}
