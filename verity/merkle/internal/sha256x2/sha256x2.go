// Package sha256x2 computes the SHA-256 of two messages of one size at once, where
// the processor has instructions for SHA-256, in little more time than one takes
// alone.
//
// Such an instruction takes longer than the processor needs to begin the next, and
// each wants the result of the one before. crypto/sha256 therefore waits for half
// of the time or so; with a second message there is something to do meanwhile. The
// blocks of a hash tree are independent of one another, and there are always two.
//
// The messages of a Pair have what surrounds them in common: a prefix, a suffix and
// their size. What follows from these is computed once.
//
// Digests are those of crypto/sha256, which is what to use where New says that there
// is nothing better.
package sha256x2

import "encoding/binary"

const (
	// Size of a digest, in bytes.
	Size = 32
	// BlockSize is what the compression function takes at a time, in bytes.
	BlockSize = 64
)

// state is the state of the compression function. Its words lie as the
// instructions want them: F E B A, H G D C.
type state [8]uint32

// order says which word of a state is the first of the digest, the second and so on.
var order = [8]int{3, 2, 7, 6, 1, 0, 5, 4}

// initial is the state before any message, by FIPS 180-4, 5.3.3.
var initial = state{
	0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667,
	0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372,
}

// appendDigest is what a state says when the last block was compressed.
func (s *state) appendDigest(dst []byte) []byte {
	for _, i := range order {
		dst = binary.BigEndian.AppendUint32(dst, s[i])
	}
	return dst
}

// Pair computes the digests of prefix || message || suffix for two messages at a
// time. It does not allocate, and serves one goroutine.
type Pair struct {
	size  int
	start state // behind those blocks that the prefix fills alone
	now   [2]state

	// The block that the prefix shares with a message: prefixed bytes of prefix, then
	// the message. There is none if prefixed is 0.
	first    [2][BlockSize]byte
	prefixed int

	// The last blocks, which begin with what is left of the message, or of prefix and
	// message if both together do not fill a block: from byte at on comes the message.
	tail [2][]byte
	at   int
}

// New returns a Pair for messages of size bytes. It returns nil if this processor
// has no instructions for SHA-256 that can be used; in FIPS 140-3 mode, where no
// implementation counts but that of the Go module, it returns nil as well.
func New(prefix, suffix []byte, size int) *Pair {
	if !available() {
		return nil
	}
	p := &Pair{size: size, start: initial}
	whole := len(prefix) / BlockSize
	if whole > 0 {
		other := p.start
		compress2(&p.start, &other, &prefix[0], &prefix[0], whole)
	}
	rest := prefix[whole*BlockSize:]
	left := len(rest) + size // bytes of message and before it that do not fill a block
	if len(rest) > 0 && left >= BlockSize {
		p.prefixed = len(rest)
		copy(p.first[0][:], rest)
		copy(p.first[1][:], rest)
		rest = nil
	}
	left %= BlockSize
	p.at = len(rest)
	for i := range p.tail {
		p.tail[i] = tail(rest, left, suffix, len(prefix)+size+len(suffix))
	}
	return p
}

// tail is what follows the last whole block: left bytes, of which the first are
// rest and the others are to be filled in, the suffix, and the padding of FIPS
// 180-4, 5.1.1, which ends with the length of everything in bits.
func tail(rest []byte, left int, suffix []byte, length int) []byte {
	t := append(make([]byte, left), suffix...)
	copy(t, rest)
	t = append(t, 0x80)
	for len(t)%BlockSize != BlockSize-8 {
		t = append(t, 0)
	}
	return binary.BigEndian.AppendUint64(t, uint64(length)*8)
}

// Sums appends the digest that belongs to a to x, that of b to y, and returns both.
// It expects messages of the size that the Pair was made for.
func (p *Pair) Sums(x, y, a, b []byte) ([]byte, []byte) {
	a, b = a[:p.size], b[:p.size]
	p.now = [2]state{p.start, p.start}
	if p.prefixed > 0 {
		n := copy(p.first[0][p.prefixed:], a)
		copy(p.first[1][p.prefixed:], b)
		p.compress(p.first[0][:], p.first[1][:])
		a, b = a[n:], b[n:]
	}
	whole := len(a) / BlockSize * BlockSize
	p.compress(a[:whole], b[:whole])
	copy(p.tail[0][p.at:], a[whole:])
	copy(p.tail[1][p.at:], b[whole:])
	p.compress(p.tail[0], p.tail[1])
	return p.now[0].appendDigest(x), p.now[1].appendDigest(y)
}

// compress takes as many whole blocks of both.
func (p *Pair) compress(a, b []byte) {
	if len(a) > 0 {
		compress2(&p.now[0], &p.now[1], &a[0], &b[0], min(len(a), len(b))/BlockSize)
	}
}
