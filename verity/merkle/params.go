package merkle

import (
	"errors"
	"fmt"
	"math/bits"
)

// Block sizes, in bytes, that a tree may have: powers of two from one to the
// other. In the smallest there is room for two digests of 32 bytes. The largest is far
// beyond what any kernel takes; each worker holds two of them in memory.
const (
	MinBlockSize = 64
	MaxBlockSize = 1 << 20
)

// ErrParams says that parameters describe no tree: a block size that is no power
// of two or out of range, hash blocks with no room for two digests, or a negative
// size.
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
		return fmt.Errorf("%w: data block size %d, not a power of two from %d to %d", ErrParams, p.DataBlockSize, MinBlockSize, MaxBlockSize)
	}
	if !blockSizeOK(p.HashBlockSize) {
		return fmt.Errorf("%w: hash block size %d, not a power of two from %d to %d", ErrParams, p.HashBlockSize, MinBlockSize, MaxBlockSize)
	}
	// With one digest a block, the tree would never come to an end.
	if s := p.shape(); p.HashBlockSize < 2*s.stride {
		return fmt.Errorf("%w: hash block size %d, and %s wants %d or more", ErrParams, p.HashBlockSize, p.Algorithm, 2*s.stride)
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
