package dmverity

import (
	"bytes"
	"io"
	"sync"
)

// patched is a device with blocks that were written to memory instead. Several goroutines
// may use it at the same time.
type patched struct {
	io.ReaderAt
	block  int64 // bytes of one
	mu     sync.RWMutex
	blocks map[int64][]byte // by their number
}

// newPatched expects a block size that may be none yet, before parameters are checked.
func newPatched(device io.ReaderAt, block int) *patched {
	return &patched{ReaderAt: device, block: int64(max(block, 1)), blocks: map[int64][]byte{}}
}

// WriteAt takes one whole block, where a block begins.
func (p *patched) WriteAt(b []byte, at int64) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blocks[at/p.block] = bytes.Clone(b)
	return len(b), nil
}

// count returns the number of blocks that were written.
func (p *patched) count() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.blocks)
}

func (p *patched) ReadAt(b []byte, at int64) (int, error) {
	n, err := p.ReaderAt.ReadAt(b, at)
	p.mu.RLock()
	defer p.mu.RUnlock()
	if len(p.blocks) == 0 {
		return n, err
	}
	for i := at / p.block; i*p.block < at+int64(n); i++ {
		if data, ok := p.blocks[i]; ok {
			from, to := max(at, i*p.block), min(at+int64(n), (i+1)*p.block)
			copy(b[from-at:to-at], data[from-i*p.block:])
		}
	}
	return n, err
}
