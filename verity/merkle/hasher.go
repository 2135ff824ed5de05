package merkle

import (
	"encoding"
	"hash"
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

	zero    []byte // the block of zeros
	zeroSum []byte // and its digest, once it is known
}

// newHasher expects parameters that were checked.
func newHasher(p Params, blockSize int) *hasher {
	h := &hasher{hash: constructors[p.Algorithm](), salt: p.Salt, last: p.SaltLast, zero: make([]byte, blockSize)}
	if !h.last && len(h.salt) >= h.hash.BlockSize() {
		h.remember()
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

// sumSparse is sum for blocks that are often zero: such a block is hashed once.
func (h *hasher) sumSparse(dst, block []byte) []byte {
	if string(block) != string(h.zero) {
		return h.sum(dst, block)
	}
	if h.zeroSum == nil {
		h.zeroSum = h.sum(nil, block)
	}
	return append(dst, h.zeroSum...)
}
