package merkle

// visit is called for each hash block when all its digests are known. It returns
// the block whose digest goes up: this one, or what is stored in its place.
type visit func(level int, index int64, block []byte) ([]byte, error)

// stack turns the digests of data blocks, in order, into hash blocks, and those
// into further ones, with one block of memory a level. It need not know how many
// digests will come.
type stack struct {
	shape
	blockSize int
	hasher    *hasher
	visit     visit
	rungs     []rung
	sum       []byte // scratch
}

// rung is the block that a level is filling.
type rung struct {
	block []byte
	n     int   // digests in it
	index int64 // of the block in its level
}

func newStack(p Params, v visit) *stack {
	return &stack{shape: p.shape(), blockSize: p.HashBlockSize, hasher: newHasher(p, 0), visit: v}
}

// add takes the next digest of those that a level holds.
func (s *stack) add(level int, sum []byte) error {
	if level == len(s.rungs) {
		s.grow()
	}
	r := &s.rungs[level]
	copy(r.block[r.n*s.stride:], sum)
	r.n++
	if r.n == s.fanout() {
		return s.flush(level)
	}
	return nil
}

// grow adds a level, in the memory of one from before a reset if there is any.
func (s *stack) grow() {
	if n := len(s.rungs); n < cap(s.rungs) && s.rungs[:n+1][n].block != nil {
		s.rungs = s.rungs[:n+1]
		return
	}
	s.rungs = append(s.rungs, rung{block: make([]byte, s.blockSize)})
}

// flush ends a block and passes its digest to the level above.
func (s *stack) flush(level int) error {
	r := &s.rungs[level]
	block := r.block
	if s.visit != nil {
		var err error
		if block, err = s.visit(level, r.index, block); err != nil {
			return err
		}
	}
	s.sum = s.hasher.sum(s.sum[:0], block)
	clear(r.block)
	r.n = 0
	r.index++
	return s.add(level+1, s.sum)
}

// reset begins anew, in the same memory.
func (s *stack) reset() {
	for i := range s.rungs {
		clear(s.rungs[i].block)
		s.rungs[i] = rung{block: s.rungs[i].block}
	}
	s.rungs = s.rungs[:0]
}

// root ends all blocks. It returns nil if there was no digest at all.
func (s *stack) root() ([]byte, error) {
	// A flush may add a level, so their number is not known before.
	level := 0
	for level < len(s.rungs) {
		r := &s.rungs[level]
		if r.index == 0 && r.n == 1 && level == len(s.rungs)-1 {
			return r.block[:s.digest], nil
		}
		if r.n > 0 {
			if err := s.flush(level); err != nil {
				return nil, err
			}
		}
		level++
	}
	return nil, nil
}
