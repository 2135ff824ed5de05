package dmverity_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// volume is a formatted volume with parity, each on a device of its own.
type volume struct {
	dmverity.Volume
	fec                dmverity.FEC
	root               digest.Digest
	data, hash, parity []byte
}

func newVolume(t *testing.T, r *rand.Rand) *volume {
	t.Helper()
	block := 512 << r.IntN(4)
	v := &volume{fec: dmverity.FEC{Roots: 2 + r.IntN(23)}, Volume: dmverity.Volume{Superblock: dmverity.Superblock{
		UUID: dmverity.UUID(random(r, 16)), HashType: r.IntN(2), Algorithm: []string{"sha256", "sha384", "sha1"}[r.IntN(3)],
		DataBlockSize: block, HashBlockSize: block, DataBlocks: int64(2 + r.IntN(600)), Salt: random(r, 16),
	}}}
	v.data = random(r, int(v.DataSize()))
	hash, parity := &memory{}, &memory{}
	var err error
	if v.root, err = (dmverity.Image{Volume: v.Volume, Data: dmverity.ReadOnly(bytes.NewReader(v.data)), Hashes: hash}).Format(t.Context(), merkle.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := (dmverity.Image{Volume: v.Volume, Data: dmverity.ReadOnly(bytes.NewReader(v.data)), Hashes: hash, Parity: parity, FEC: &v.fec}).EncodeFEC(t.Context(), merkle.Options{}); err != nil {
		t.Fatal(err)
	}
	v.hash, v.parity = hash.data, parity.data
	return v
}

// damage is a volume with something wrong.
type damage struct {
	*volume
	data, hash, parity memory
}

func (v *volume) damage() *damage {
	d := &damage{volume: v}
	d.data.data, d.hash.data, d.parity.data = bytes.Clone(v.data), bytes.Clone(v.hash), bytes.Clone(v.parity)
	return d
}

// verify returns the bad blocks.
func (d *damage) verify(t *testing.T, v dmverity.Volume) (bad []merkle.BadBlock) {
	t.Helper()
	err := dmverity.Image{Volume: v, Data: &d.data, Hashes: &d.hash}.Verify(t.Context(), d.root, func(b merkle.BadBlock) { bad = append(bad, b) }, merkle.Options{})
	var corrupt *merkle.CorruptError
	if (err == nil) != (len(bad) == 0) || err != nil && !errors.As(err, &corrupt) {
		t.Fatalf("reported %v, returned %v", bad, err)
	}
	return bad
}

// mended wants Repair to bring back what was there.
func (d *damage) mended(t *testing.T) {
	t.Helper()
	n, err := d.repairable()
	if err != nil || n == 0 {
		t.Fatalf("%+v, %d roots: %d blocks can be repaired: %v", d.Volume, d.fec.Roots, n, err)
	}
	done, err := dmverity.Image{Volume: d.Volume, Data: &d.data, Hashes: &d.hash, Parity: &d.parity, FEC: &d.fec}.Repair(t.Context(), d.root, merkle.Options{})
	if int64(len(done)) != n {
		t.Fatalf("%d blocks can be repaired, %d were", n, len(done))
	}
	if err != nil || !bytes.Equal(d.data.data, d.volume.data) || !bytes.Equal(d.hash.data, d.volume.hash) {
		t.Fatalf("%+v, %d roots: not repaired: %v", d.Volume, d.fec.Roots, err)
	}
}

// count is what CheckFEC says; -1 stands for too much.
func (d *damage) count(t *testing.T) int64 {
	t.Helper()
	n, err := dmverity.Image{Volume: d.Volume, Data: &d.data, Hashes: &d.hash, Parity: &d.parity, FEC: &d.fec}.CheckFEC(t.Context(), merkle.Options{})
	if errors.Is(err, dmverity.ErrUncorrectable) {
		return -1
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestPeerFlips flips single bits, IPE_VERITY_FLIPS of them, anywhere in a volume, and
// wants each found where it is, and undone. Each tenth is put to veritysetup(8).
func TestPeerFlips(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 1))
	dir := t.TempDir()
	var v *volume
	for i := range number(t, "IPE_VERITY_FLIPS", 100) {
		if i%50 == 0 {
			v = newVolume(t, r)
		}
		d := v.damage()
		tree := d.hash.data[v.TreeOffset():]
		switch r.IntN(4) {
		case 0:
			at := flip(r, d.data.data)
			d.found(t, merkle.DataLevel, at)
			d.samePeer(t, dir, i)
			d.mended(t)
		case 1:
			at := flip(r, tree)
			d.found(t, 0, at)
			d.samePeer(t, dir, i)
			d.mended(t)
		case 2:
			flip(r, d.parity.data)
			if bad := d.verify(t, v.Volume); len(bad) > 0 || d.count(t) != 1 {
				t.Fatalf("flip in parity: bad blocks %v, %d errors", bad, d.count(t))
			}
			d.samePeer(t, dir, i)
		default:
			d.superblock(t, flip(r, d.hash.data[:dmverity.SuperblockSize]))
		}
	}
}

func flip(r *rand.Rand, b []byte) int {
	at := r.IntN(len(b))
	b[at] ^= 1 << r.IntN(8)
	return at
}

// found wants the block with a byte that was flipped, of the data or the tree,
// accused, and counted as one error.
func (d *damage) found(t *testing.T, level, at int) {
	t.Helper()
	bad := d.verify(t, d.Volume)
	if len(bad) == 0 || len(bad) > 2 {
		t.Fatalf("byte %d of level %d: bad blocks %v", at, level, bad)
	}
	last := bad[len(bad)-1]
	if (last.Level == merkle.DataLevel) != (level == merkle.DataLevel) || int64(at) < last.Offset || int64(at) >= last.Offset+last.Length {
		t.Fatalf("byte %d of level %d: bad blocks %v", at, level, bad)
	}
	if n := d.count(t); n != 1 {
		t.Fatalf("byte %d of level %d: %d errors", at, level, n)
	}
}

// superblock wants a flipped bit there found, unless it is one of the name that no
// hash covers.
func (d *damage) superblock(t *testing.T, at int) {
	t.Helper()
	v, err := dmverity.ReadSuperblock(&d.hash, 0)
	switch {
	case at >= 16 && at < 32:
		if err != nil || v.UUID == d.UUID || len(d.verify(t, v)) > 0 {
			t.Fatalf("flip at %d, in the UUID: %v", at, err)
		}
	case err != nil:
		if !errors.Is(err, dmverity.ErrSuperblock) {
			t.Fatalf("flip at %d: %v", at, err)
		}
	case cmp.Equal(v, d.Volume):
		// What the format leaves unused, or the case of a letter of the algorithm.
		if (at < 32 || at >= 64) && (at < 82 || at >= 88) && at < 88+len(v.Salt) {
			t.Fatalf("flip at %d: not found: %+v", at, v)
		}
	default:
		err := dmverity.Image{Volume: v, Data: &d.data, Hashes: &d.hash}.Verify(t.Context(), digest.New(v.Algorithm, d.root.Bytes()), nil, merkle.Options{})
		if err == nil {
			t.Fatalf("flip at %d: not found: %+v instead of %+v", at, v, d.Volume)
		}
	}
}

// samePeer compares the count of errors with what veritysetup says, now and then.
func (d *damage) samePeer(t *testing.T, dir string, i int) {
	t.Helper()
	if i%10 != 0 {
		return
	}
	out := d.peer(t, dir)
	bad := d.verify(t, d.Volume)
	want := "" // it looks at the parity only when the rest is wrong
	if n := d.count(t); len(bad) > 0 && n < 0 {
		// Some words with too many errors are, to its decoder, words without any.
		want = "Errors cannot be repaired with FEC device."
		if strings.Contains(out, " repairable errors with FEC device.") {
			want = ""
		}
	} else if len(bad) > 0 {
		want = fmt.Sprintf("Found %d repairable errors with FEC device.", n)
	}
	if len(bad) > 0 != strings.Contains(out, "Verification ") || !strings.Contains(out, want) {
		t.Fatalf("%+v, %d roots: veritysetup says %q, want %q; bad blocks %v", d.Volume, d.fec.Roots, out, want, bad)
	}
}

func (d *damage) peer(t *testing.T, dir string) string {
	t.Helper()
	for name, b := range map[string][]byte{"/data": d.data.data, "/hash": d.hash.data, "/parity": d.parity.data} {
		if err := os.WriteFile(dir+name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := veritysetup(t, "verify", dir+"/data", dir+"/hash", fmt.Sprintf("%x", d.root.Bytes()),
		"--fec-device="+dir+"/parity", fmt.Sprintf("--fec-roots=%d", d.fec.Roots))
	if err != nil {
		out += err.Error()
	}
	return out
}

// TestPeerManyErrors spoils many bytes, near each other or not, until parity can and
// cannot undo it, and wants what veritysetup says; and what it can repair, repaired.
func TestPeerManyErrors(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 2))
	dir := t.TempDir()
	tooMuch, repaired := 0, 0
	for i := range number(t, "IPE_VERITY_ERRORS", 15) {
		d := newVolume(t, r).damage()
		for range 1 + r.IntN(3) {
			all := []*memory{&d.data, &d.hash, &d.parity}[r.IntN(3)].data
			if r.IntN(3) > 0 { // mostly in the data
				all = d.data.data
			}
			at := dmverity.SuperblockSize + r.IntN(len(all)-dmverity.SuperblockSize)
			part := all[at:min(len(all), at+1+r.IntN(d.DataBlockSize))]
			copy(part, random(r, len(part)))
		}
		d.samePeer(t, dir, i*10)
		if d.count(t) < 0 {
			tooMuch++
		}
		n, possible := d.repairable()
		if possible != nil && !errors.Is(possible, dmverity.ErrUncorrectable) {
			t.Fatal(possible)
		}
		if done, err := (dmverity.Image{Volume: d.Volume, Data: &d.data, Hashes: &d.hash, Parity: &d.parity, FEC: &d.fec}).Repair(t.Context(), d.root, merkle.Options{}); err == nil {
			repaired++
			if possible == nil && n != int64(len(done)) {
				t.Fatalf("%d blocks can be repaired, %d were", n, len(done))
			}
			if !bytes.Equal(d.data.data, d.volume.data) {
				t.Fatal("repaired to something else")
			}
		} else if !errors.Is(err, dmverity.ErrUncorrectable) || possible == nil {
			t.Fatalf("%v, and %d blocks can be repaired: %v", err, n, possible)
		}
	}
	if tooMuch == 0 || repaired == 0 {
		t.Errorf("%d volumes had too many errors, %d were repaired; want some of both", tooMuch, repaired)
	}
}

// TestHopeless has nothing of the data left, or of the tree: the first block that cannot be
// restored ends the search, for each costs a reading of all code words that it is in.
func TestHopeless(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 6))
	for _, what := range []func(*damage) []byte{
		func(d *damage) []byte { return d.data.data },
		func(d *damage) []byte { return d.hash.data[d.TreeOffset():] },
	} {
		v := newVolume(t, r)
		for v.DataBlocks < 100 || v.fec.Roots > 8 {
			v = newVolume(t, r)
		}
		d := v.damage()
		copy(what(d), random(r, len(what(d))))
		parity := &counted{ReaderAt: bytes.NewReader(d.parity.data)}
		_, err := dmverity.Image{Volume: d.Volume, Data: &d.data, Hashes: &d.hash, Parity: dmverity.ReadOnly(parity), FEC: &d.fec}.Repairable(t.Context(), d.root, merkle.Options{})
		if !errors.Is(err, dmverity.ErrUncorrectable) {
			t.Errorf("%+v: %v", d.Volume, err)
		}
		// One block is tried twice: by parity alone, and with what is known to be wrong.
		if limit := 2 * (d.DataBlockSize/4096 + 1); parity.reads > limit {
			t.Errorf("%d data blocks: parity was read %d times, more than %d", d.DataBlocks, parity.reads, limit)
		}
	}
}

// counted counts how often it is read.
type counted struct {
	io.ReaderAt
	reads int
}

func (c *counted) ReadAt(b []byte, at int64) (int, error) {
	c.reads++
	return c.ReaderAt.ReadAt(b, at)
}

// repairable asks what could be repaired, of a volume that cannot be written to.
func (d *damage) repairable() (int64, error) {
	r := func(m *memory) io.ReaderAt { return bytes.NewReader(m.data) }
	return dmverity.Image{Volume: d.Volume, Data: dmverity.ReadOnly(r(&d.data)), Hashes: dmverity.ReadOnly(r(&d.hash)), Parity: dmverity.ReadOnly(r(&d.parity)), FEC: &d.fec}.Repairable(context.Background(), d.root, merkle.Options{})
}

// TestErasures loses as many whole blocks of one round as there are roots, which
// parity can only restore because the tree says which they are.
func TestErasures(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 3))
	for range 5 {
		v := newVolume(t, r)
		for v.DataBlocks < int64(v.fec.Roots) {
			v = newVolume(t, r)
		}
		d := v.damage()
		area := len(v.data) + len(v.hash) - int(v.TreeOffset())
		rounds := (area/v.DataBlockSize-1)/(255-v.fec.Roots) + 1
		lost := 0
		for at := 0; at < len(v.data) && lost < v.fec.Roots; at += rounds * v.DataBlockSize {
			copy(d.data.data[at:at+v.DataBlockSize], random(r, v.DataBlockSize))
			lost++
		}
		if d.count(t) >= 0 && lost > v.fec.Roots/2+1 {
			t.Errorf("%d roots undo %d errors that nobody knows of", v.fec.Roots, lost)
		}
		d.mended(t)
		// One more is too much.
		if lost == v.fec.Roots && lost*rounds*v.DataBlockSize < len(v.data) {
			for i := range lost + 1 {
				clear(d.data.data[i*rounds*v.DataBlockSize:][:v.DataBlockSize])
			}
			if _, err := (dmverity.Image{Volume: d.Volume, Data: &d.data, Hashes: &d.hash, Parity: &d.parity, FEC: &d.fec}).Repair(t.Context(), d.root, merkle.Options{}); !errors.Is(err, dmverity.ErrUncorrectable) {
				t.Errorf("%d blocks lost with %d roots: %v", lost+1, v.fec.Roots, err)
			}
		}
	}
}

// TestRepairTree spoils a path from the root to the data; each block can only be
// restored after the one above.
func TestRepairTree(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 4))
	v := newVolume(t, r)
	for v.DataBlocks < 300 || v.fec.Roots < 10 || v.DataBlockSize > 1024 {
		v = newVolume(t, r)
	}
	tree, err := v.Tree()
	if err != nil {
		t.Fatal(err)
	}
	d := v.damage()
	flip(r, d.data.data[:v.DataBlockSize])
	for n := range tree.Levels() {
		offset, _ := tree.Level(n)
		flip(r, d.hash.data[v.TreeOffset()+offset:][:v.HashBlockSize])
	}
	if n := len(d.verify(t, v.Volume)); n < tree.Levels()+1 {
		t.Errorf("%d bad blocks, %d levels", n, tree.Levels())
	}
	d.mended(t)
}

// TestShortHashDevice wants parity behind the end of the hash device reckoned as
// if there were zeros up to it, which there are once it has been written.
func TestShortHashDevice(t *testing.T) {
	v := newVolume(t, rand.New(rand.NewPCG(10, 5)))
	f := dmverity.FEC{Roots: 3, OnHashDevice: true, Offset: int64(len(v.hash)+3*v.HashBlockSize) / int64(v.HashBlockSize) * int64(v.HashBlockSize)}
	short, long := &memory{data: bytes.Clone(v.hash)}, &memory{data: append(bytes.Clone(v.hash), make([]byte, int(f.Offset)-len(v.hash))...)}
	for _, hash := range []*memory{short, long} {
		if err := (dmverity.Image{Volume: v.Volume, Data: dmverity.ReadOnly(bytes.NewReader(v.data)), Hashes: hash, Parity: hash, FEC: &f}).EncodeFEC(t.Context(), merkle.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(short.data, long.data) {
		t.Error("parity depends on the length of the hash device")
	}
}
