package dmverity_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// failing is a device that can be read up to a byte, and not from there on.
type failing struct {
	dmverity.Device
	from int64
	err  error
}

func (f failing) ReadAt(b []byte, at int64) (int, error) {
	if at+int64(len(b)) > f.from {
		return 0, f.err
	}
	return f.Device.ReadAt(b, at)
}

// journal is a device that remembers what was done to it, and looks at itself whenever the
// tree is written.
type journal struct {
	memory
	mu     sync.Mutex
	tree   int64 // where it begins
	steps  []string
	sealed bool // a tree block was written under a superblock
}

func (j *journal) WriteAt(b []byte, at int64) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	step := "superblock"
	switch {
	case at >= j.tree:
		step = "tree"
		_, err := dmverity.ReadSuperblock(&j.memory, 0)
		j.sealed = j.sealed || err == nil
	case bytes.Count(b, []byte{0}) == len(b):
		step = "wipe"
	}
	j.note(step)
	return j.memory.WriteAt(b, at)
}

func (j *journal) Sync() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note("sync")
	return nil
}

func (j *journal) note(step string) {
	if len(j.steps) == 0 || j.steps[len(j.steps)-1] != step {
		j.steps = append(j.steps, step)
	}
}

// reformat is a volume on a hash device that holds another one: enough data for its tree
// to be written in several pieces.
func reformat(t *testing.T) (v dmverity.Volume, data *memory, hash *journal) {
	t.Helper()
	v = dmverity.Volume{Superblock: good()}
	v.DataBlocks, v.DataBlockSize, v.HashBlockSize = 8192, 512, 512
	data, hash = &memory{data: make([]byte, v.DataSize())}, &journal{tree: v.TreeOffset()}
	if _, err := (dmverity.Image{Volume: v, Data: data, Hashes: hash}).Format(t.Context(), merkle.Options{}); err != nil {
		t.Fatal(err)
	}
	hash.steps, hash.sealed = nil, false
	for i := range data.data {
		data.data[i] = byte(i >> 9)
	}
	return v, data, hash
}

// TestFormatWipesFirst wants no superblock over a tree that is not its own, whenever a
// format ends: the old one is wiped before the tree is written, and the new one comes last.
func TestFormatWipesFirst(t *testing.T) {
	v, data, hash := reformat(t)
	if _, err := (dmverity.Image{Volume: v, Data: data, Hashes: hash}).Format(t.Context(), merkle.Options{}); err != nil {
		t.Fatal(err)
	}
	if hash.sealed {
		t.Error("the tree is written under a superblock")
	}
	if want := []string{"wipe", "sync", "tree", "sync", "superblock"}; !slices.Equal(hash.steps, want) {
		t.Errorf("%q, want %q", hash.steps, want)
	}
}

// TestFormatOfUnreadableData wants the old volume as it was, or none.
func TestFormatOfUnreadableData(t *testing.T) {
	fault := errors.New("fault")
	for name, c := range map[string]struct {
		from int64
		kept bool
	}{
		"before the first block of the tree": {512, true},
		"midway":                             {3 << 20, false},
		"at the end":                         {4<<20 - 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			v, data, hash := reformat(t)
			before := bytes.Clone(hash.data)
			_, err := dmverity.Image{Volume: v, Data: failing{data, c.from, fault}, Hashes: hash}.Format(t.Context(), merkle.Options{Workers: 1})
			if !errors.Is(err, fault) {
				t.Fatal(err)
			}
			if c.kept != bytes.Equal(hash.data, before) {
				t.Errorf("the hash area is kept: %v, want %v", !c.kept, c.kept)
			}
			if _, err := dmverity.ReadSuperblock(hash, 0); c.kept != (err == nil) || err != nil && !errors.Is(err, dmverity.ErrSuperblock) {
				t.Errorf("superblock: %v", err)
			}
		})
	}
}

// TestWipeSuperblock wants nothing else wiped, and nothing that ends before it to matter.
func TestWipeSuperblock(t *testing.T) {
	v := dmverity.Volume{Superblock: good()}
	for name, c := range map[string]struct{ before, after []byte }{
		"nothing":       {nil, nil},
		"short":         {[]byte("verity"), []byte("verity")},
		"something":     {bytes.Repeat([]byte("x"), 600), bytes.Repeat([]byte("x"), 600)},
		"a superblock":  {append(sealed(t, v), "tree"...), append(make([]byte, dmverity.SuperblockSize), "tree"...)},
		"a later shape": {[]byte("verity\x00\x00\x02"), make([]byte, dmverity.SuperblockSize)},
	} {
		m := &memory{data: bytes.Clone(c.before)}
		if err := (dmverity.Image{Volume: v, Hashes: m}).WipeSuperblock(); err != nil || !bytes.Equal(m.data, c.after) {
			t.Errorf("%s: %.20q, %v", name, m.data, err)
		}
	}
	if err := (dmverity.Image{Volume: v, Hashes: broken{io.ErrClosedPipe}}).WipeSuperblock(); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

func sealed(t *testing.T, v dmverity.Volume) []byte {
	t.Helper()
	b, err := v.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
