package dmverity

// codeLength is the length of a Reed-Solomon code word in bytes.
const codeLength = 255

// field is GF(256) with the polynomial x^8+x^4+x^3+x^2+1, by powers of x.
type field struct {
	exp [2 * codeLength]byte // twice, so that sums of two logarithms need no modulus
	log [256]int             // log[0] is not used
}

func newField() *field {
	f := new(field)
	x := 1
	for i := range codeLength {
		f.exp[i], f.exp[i+codeLength] = byte(x), byte(x)
		f.log[x] = i
		if x <<= 1; x > 0xff {
			x ^= 0x11d
		}
	}
	return f
}

func (f *field) mul(a, b byte) byte {
	if a == 0 || b == 0 {
		return 0
	}
	return f.exp[f.log[a]+f.log[b]]
}

// div expects b not to be zero.
func (f *field) div(a, b byte) byte {
	if a == 0 {
		return 0
	}
	return f.exp[f.log[a]+codeLength-f.log[b]]
}

// pow returns x^n for any n that is not negative.
func (f *field) pow(n int) byte { return f.exp[n%codeLength] }

// stateWords holds the parity of the largest number of roots: 24 bytes.
const stateWords = 3

// state is the parity of a code word that is being read, its first byte lowest.
type state [stateWords]uint64

// encoder computes parity with one table look-up a byte.
type encoder struct {
	field *field
	roots int
	table [256]state // what a byte that leaves the register adds
}

// newEncoder makes the code whose generator has the roots x^0, x^1 and so on.
func newEncoder(roots int) *encoder {
	e := &encoder{field: newField(), roots: roots}
	g := []byte{1} // coefficients, of the lowest power first
	for i := range roots {
		next := make([]byte, len(g)+1)
		for j, c := range g {
			next[j+1] ^= c
			next[j] ^= e.field.mul(c, e.field.pow(i))
		}
		g = next
	}
	for b := range e.table {
		for j := range roots {
			e.table[b][j/8] |= uint64(e.field.mul(g[roots-1-j], byte(b))) << (j % 8 * 8)
		}
	}
	return e
}

// feed adds to each code word its next byte.
func (e *encoder) feed(words []state, next []byte) {
	words = words[:len(next)]
	for i, b := range next {
		s := &words[i]
		t := &e.table[byte(s[0])^b]
		s[0] = (s[0]>>8 | s[1]<<56) ^ t[0]
		s[1] = (s[1]>>8 | s[2]<<56) ^ t[1]
		s[2] = s[2]>>8 ^ t[2]
	}
}

// encode writes the parity of one code word into the last bytes of it.
func (e *encoder) encode(word []byte) {
	var s state
	for _, b := range word[:codeLength-e.roots] {
		t := &e.table[byte(s[0])^b]
		s[0] = (s[0]>>8 | s[1]<<56) ^ t[0]
		s[1] = (s[1]>>8 | s[2]<<56) ^ t[1]
		s[2] = s[2]>>8 ^ t[2]
	}
	s.parity(word[codeLength-e.roots:])
}

// feedShort is feed for up to eight roots, which fit in one number.
func (e *encoder) feedShort(words []uint64, table *[256]uint64, next []byte) {
	words = words[:len(next)]
	for i, b := range next {
		s := words[i]
		words[i] = s>>8 ^ table[byte(s)^b]
	}
}

// parity copies the parity of a finished code word.
func (s *state) parity(to []byte) {
	for j := range to {
		to[j] = byte(s[j/8] >> (j % 8 * 8))
	}
}
