package merkle

import (
	"errors"
	"fmt"
	"math/bits"
)

// Block sizes, in bytes, that a tree may have: powers of two from one to the
// other.
const (
	MinBlockSize = 512
	MaxBlockSize = 64 << 10
)

// ErrParams says that parameters describe no tree: a block size that is no power
// of two or out of range, or a negative size.
var ErrParams = errors.New("impossible parameters")

// Params say how blocks are hashed, and how digests lie in hash blocks.
type Params struct {
	// Algorithm is the hash function by the kernel's name; see Algorithms.
	Algorithm string
	// DataBlockSize and HashBlockSize are in bytes.
	DataBlockSize, HashBlockSize int
	// Salt is hashed with each block, of data and of digests: before it, or after
	// it if SaltLast is set.
	Salt     []byte
	SaltLast bool
	// Packed lets digests follow each other in a hash block with no space between.
	// Otherwise each takes the next power of two of bytes, the rest of it zero.
	Packed bool
}

func (p Params) check() error {
	if _, ok := constructors[p.Algorithm]; !ok {
		return fmt.Errorf("%w %q", ErrAlgorithm, p.Algorithm)
	}
	if !blockSizeOK(p.DataBlockSize) {
		return fmt.Errorf("%w: data block size %d", ErrParams, p.DataBlockSize)
	}
	if !blockSizeOK(p.HashBlockSize) {
		return fmt.Errorf("%w: hash block size %d", ErrParams, p.HashBlockSize)
	}
	return nil
}

func blockSizeOK(n int) bool {
	return n >= MinBlockSize && n <= MaxBlockSize && n&(n-1) == 0
}

// shape is what follows from parameters alone.
type shape struct {
	digest int // bytes of a digest
	stride int // bytes from one digest to the next in a hash block
	shift  int // a hash block holds 1<<shift digests
}

func (p Params) shape() shape {
	digest := constructors[p.Algorithm]().Size()
	s := shape{digest: digest, stride: digest, shift: bits.Len(uint(p.HashBlockSize/digest)) - 1}
	if !p.Packed {
		s.stride = 1 << bits.Len(uint(digest-1))
	}
	return s
}

func (s shape) fanout() int { return 1 << s.shift }
