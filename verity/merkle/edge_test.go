package merkle_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/ipe-linux/ipe/verity/merkle"
)

// edge is a tree over blocks of random data that are all different.
type edge struct {
	params merkle.Params
	data   []byte
	hashes buffer
	root   []byte
}

type buffer struct{ b []byte }

func (b *buffer) WriteAt(p []byte, at int64) (int, error) {
	if need := int(at) + len(p); need > len(b.b) {
		b.b = append(b.b, make([]byte, need-len(b.b))...)
	}
	return copy(b.b[at:], p), nil
}

const edgeBlock = 512 // 16 digests of SHA-256 a hash block

func newEdge(t *testing.T, blocks int) *edge {
	t.Helper()
	e := &edge{
		params: merkle.Params{Algorithm: "sha256", DataBlockSize: edgeBlock, HashBlockSize: edgeBlock, Salt: []byte("salt")},
		data:   make([]byte, blocks*edgeBlock),
	}
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(e.data)
	var err error
	if e.root, err = e.tree(t, blocks).Build(t.Context(), bytes.NewReader(e.data), &e.hashes, merkle.Options{}); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *edge) tree(t *testing.T, blocks int) *merkle.Tree {
	t.Helper()
	tree, err := merkle.New(e.params, int64(blocks)*edgeBlock)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func (e *edge) verify(t *testing.T, blocks int) error {
	t.Helper()
	return e.tree(t, blocks).VerifyEdge(bytes.NewReader(e.data), bytes.NewReader(e.hashes.b), e.root)
}

// TestVerifyEdgeTellsSizes: of all numbers of blocks only the right one passes, but
// for those that pass hash blocks off as data.
func TestVerifyEdgeTellsSizes(t *testing.T) {
	for _, blocks := range []int{1, 2, 15, 16, 17, 200, 255, 256, 257, 290} {
		e := newEdge(t, blocks)
		confused := map[int]bool{}
		for n := (blocks-1)/16 + 1; blocks > 1; n = (n-1)/16 + 1 {
			confused[n] = true // these many hash blocks have the digests above them
			if n == 1 {
				break
			}
		}
		for claimed := 1; claimed <= 300; claimed++ {
			err := e.verify(t, claimed)
			var size *merkle.SizeError
			switch {
			case claimed == blocks:
				if err != nil {
					t.Errorf("%d blocks: %v", blocks, err)
				}
			case err == nil && !confused[claimed]:
				t.Errorf("%d blocks pass for %d", blocks, claimed)
			case errors.As(err, &size) && size.Blocks != int64(claimed):
				t.Errorf("%d blocks, taken for %d: %v", blocks, claimed, err)
			}
		}
	}
}

// TestVerifyEdgeNamesTheFault: another root, a damaged hash block and one that cannot
// be read are told from a wrong size.
func TestVerifyEdgeNamesTheFault(t *testing.T) {
	e := newEdge(t, 290)
	var corrupt *merkle.CorruptError
	tree := e.tree(t, 290)
	for level := range tree.Levels() {
		offset, blocks := tree.Level(level)
		at := offset + (blocks-1)*edgeBlock
		e.hashes.b[at+7] ^= 1
		if err := e.verify(t, 290); !errors.As(err, &corrupt) || corrupt.First.Level != level || corrupt.First.Index != blocks-1 {
			t.Errorf("level %d damaged: %v", level, err)
		}
		e.hashes.b[at+7] ^= 1
	}
	e.root[0] ^= 1
	if err := e.verify(t, 290); !errors.As(err, &corrupt) || corrupt.First.Level != tree.Levels()-1 {
		t.Errorf("another root: %v", err)
	}
	e.root[0] ^= 1
	e.hashes.b = e.hashes.b[:len(e.hashes.b)-1]
	if err := e.verify(t, 290); err == nil || errors.As(err, new(*merkle.SizeError)) || errors.As(err, new(*merkle.CorruptError)) {
		t.Errorf("the last hash block cut short: %v", err)
	}
}
