package dmverity_test

import (
	"errors"
	"testing"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

func TestVerifyEdge(t *testing.T) {
	for _, blocks := range []int64{1, 2, 200, 40000} {
		for _, bare := range []bool{false, true} {
			v := dmverity.Volume{Superblock: good(), NoSuperblock: bare, HashOffset: 8192}
			v.DataBlockSize, v.DataBlocks = 512, blocks
			data, hash := &memory{data: make([]byte, v.DataSize())}, &memory{}
			root, err := dmverity.Image{Volume: v, Data: data, Hashes: hash}.Format(t.Context(), merkle.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := (dmverity.Image{Volume: v, Data: data, Hashes: hash}).VerifyEdge(root); err != nil {
				t.Errorf("%d blocks: %v", blocks, err)
			}
			other := root.Bytes()
			other[5] ^= 1
			var corrupt *merkle.CorruptError
			if err := (dmverity.Image{Volume: v, Data: data, Hashes: hash}).VerifyEdge(digest.New("sha256", other)); !errors.As(err, &corrupt) {
				t.Errorf("%d blocks: %v for another root", blocks, err)
			}
			if err := (dmverity.Image{Volume: v, Data: &memory{}, Hashes: &memory{}}).VerifyEdge(root); err == nil || errors.As(err, &corrupt) {
				t.Errorf("%d blocks: %v without any", blocks, err)
			}
			short := v
			short.DataBlocks--
			if err := (dmverity.Image{Volume: short, Data: data, Hashes: hash}).VerifyEdge(root); blocks > 2 && !errors.As(err, new(*merkle.SizeError)) {
				t.Errorf("%d of %d blocks: %v", short.DataBlocks, blocks, err)
			}
		}
	}
}

// TestVerifyEdgeFEC: what parity restores for the kernel does not hide that the volume
// was cut off, and damage that it cannot restore is no answer.
func TestVerifyEdgeFEC(t *testing.T) {
	v := dmverity.Volume{Superblock: good()}
	v.DataBlocks = 293
	data, hash, parity := &memory{data: make([]byte, v.DataSize())}, &memory{}, &memory{}
	for i := range data.data {
		data.data[i] = byte(i >> 12 * 7)
	}
	root, err := dmverity.Image{Volume: v, Data: data, Hashes: hash}.Format(t.Context(), merkle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := dmverity.FEC{Roots: 2}
	encode := func(v dmverity.Volume) {
		t.Helper()
		parity.data = nil
		if err := (dmverity.Image{Volume: v, Data: data, Hashes: hash, Parity: parity, FEC: &f}).EncodeFEC(t.Context(), merkle.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(v dmverity.Volume) error {
		return dmverity.Image{Volume: v, Data: data, Hashes: hash, Parity: parity, FEC: &f}.VerifyEdgeFEC(root)
	}

	encode(v)
	end, err := v.HashEnd()
	if err != nil {
		t.Fatal(err)
	}
	spare := end - 8 // no digest of the last hash block is there
	hash.data[spare] = 1
	if err := (dmverity.Image{Volume: v, Data: data, Hashes: hash}).VerifyEdge(root); !errors.As(err, new(*merkle.CorruptError)) {
		t.Errorf("damaged: %v", err)
	}
	if err := check(v); err != nil {
		t.Errorf("damaged, with parity: %v", err)
	}
	if hash.data[spare] != 1 {
		t.Error("the hash device was written to")
	}

	hash.data[spare] = 0
	short := v
	short.DataBlocks = 200
	encode(short)
	hash.data[short.TreeOffset()+20] ^= 1
	if err := check(short); !errors.As(err, new(*merkle.SizeError)) {
		t.Errorf("cut off, and damaged for the kernel to restore: %v", err)
	}
	for i := range 4096 {
		hash.data[short.TreeOffset()+int64(i)] = 0xa5
		parity.data[i] ^= 0x5a
	}
	if err := check(short); !errors.Is(err, dmverity.ErrUncorrectable) {
		t.Errorf("beyond repair: %v", err)
	}
}

// TestReadOnly: what is only read cannot be written, and a volume without error correction
// has none to check.
func TestReadOnly(t *testing.T) {
	v := dmverity.Volume{Superblock: dmverity.Default()}
	v.DataBlocks = 1
	im := dmverity.Image{Volume: v, Data: &memory{data: make([]byte, 4096)}, Hashes: dmverity.ReadOnly(&memory{})}
	if _, err := im.Format(t.Context(), merkle.Options{}); !errors.Is(err, dmverity.ErrReadOnly) {
		t.Errorf("%v", err)
	}
	if _, err := im.CheckFEC(t.Context(), merkle.Options{}); !errors.Is(err, dmverity.ErrParams) {
		t.Errorf("%v", err)
	}
}
