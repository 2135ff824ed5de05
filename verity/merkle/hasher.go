package merkle

import (
	"encoding"
	"hash"
	"slices"

	"github.com/ipe-linux/ipe/verity/merkle/internal/sha256x2"
)

// hasher hashes one block after the other with the same salt, without
// allocating. It serves one goroutine.
type hasher struct {
	hash hash.Hash
	salt []byte
	last bool // the salt follows the block

	// A salt that fills a block of the hash function is worth remembering as the
	// state that it leaves; a shorter one is as fast written anew.
	state  []byte
	resume encoding.BinaryUnmarshaler

	pair *sha256x2.Pair // hashes two blocks at once; nil if nothing does

	zero    []byte // the block of zeros
	zeroSum []byte // and its digest, once it is known
}

// newHasher expects parameters that were checked. The block size is that of sums;
// with 0, there is sum alone.
func newHasher(p Params, blockSize int) *hasher {
	h := &hasher{hash: constructors[p.Algorithm](), salt: p.Salt, last: p.SaltLast, zero: make([]byte, blockSize)}
	if !h.last && len(h.salt) >= h.hash.BlockSize() {
		h.remember()
	}
	if p.Algorithm == "sha256" && blockSize > 0 {
		before, after := p.Salt, []byte(nil)
		if p.SaltLast {
			before, after = after, before
		}
		h.pair = sha256x2.New(before, after, blockSize)
	}
	return h
}

// remember keeps the state behind the salt, if the hash function lets it out.
func (h *hasher) remember() {
	out, ok1 := h.hash.(encoding.BinaryMarshaler)
	in, ok2 := h.hash.(encoding.BinaryUnmarshaler)
	if !ok1 || !ok2 {
		return
	}
	h.hash.Write(h.salt)
	if state, err := out.MarshalBinary(); err == nil && in.UnmarshalBinary(state) == nil {
		h.state, h.resume = state, in
	}
}

// start begins a block: everything before its first byte.
func (h *hasher) start() {
	if h.resume != nil && h.resume.UnmarshalBinary(h.state) == nil {
		return
	}
	h.hash.Reset()
	if !h.last && len(h.salt) > 0 {
		h.hash.Write(h.salt)
	}
}

// sum appends the digest of block to dst.
func (h *hasher) sum(dst, block []byte) []byte {
	h.start()
	h.hash.Write(block)
	if h.last && len(h.salt) > 0 {
		h.hash.Write(h.salt)
	}
	return h.hash.Sum(dst)
}

// sums appends the digests of blocks that follow each other in memory. Blocks of
// zeros are frequent, and hashed once.
func (h *hasher) sums(dst, blocks []byte) []byte {
	size, digest, begin := len(h.zero), h.hash.Size(), len(dst)
	n := len(blocks) / size
	dst = slices.Grow(dst, n*digest)[:begin+n*digest]
	at := func(i int) []byte { return dst[begin+i*digest:][:0] }
	block := func(i int) []byte { return blocks[i*size:][:size] }
	alone := -1 // a block that waits for another
	for i := range n {
		switch {
		case string(block(i)) == string(h.zero):
			h.sumZero(at(i))
		case h.pair == nil:
			h.sum(at(i), block(i))
		case alone < 0:
			alone = i
		default:
			h.pair.Sums(at(alone), at(i), block(alone), block(i))
			alone = -1
		}
	}
	if alone >= 0 {
		h.sum(at(alone), block(alone))
	}
	return dst
}

// sumZero appends the digest of the block of zeros.
func (h *hasher) sumZero(dst []byte) []byte {
	if h.zeroSum == nil {
		h.zeroSum = h.sum(nil, h.zero)
	}
	return append(dst, h.zeroSum...)
}
