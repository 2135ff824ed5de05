package merkle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// Options say how to work. The zero Options use all processors.
type Options struct {
	// Workers is how many goroutines hash at the same time; 0 stands for
	// runtime.GOMAXPROCS(0).
	Workers int
	// Progress, if set, is told how many bytes of data are done, in ascending order
	// and from one goroutine at a time. It should return soon: others wait for it.
	Progress func(done int64)
}

const (
	// pieceSize is what a worker reads and hashes at a time: small enough that what
	// was read is still in the processor's cache when it is hashed.
	pieceSize = 128 << 10
	// maxBuffers bounds the memory for data of all workers together.
	maxBuffers = 8 << 20
	// lead is by how many pieces a worker may be ahead of the slowest, times the
	// number of workers: more than are hashed while the kernel lets somebody else have
	// the processor of the slowest.
	lead = 64
	// maxSums bounds the memory for digests that wait for those before them, unless
	// there are many workers; each needs two pieces.
	maxSums = 2 << 20
)

// source reads the piece with the given offset into buf.
type source interface {
	read(buf []byte, offset int64) error
	// ordered reports that pieces must be read one after the other.
	ordered() bool
}

// run hashes the data of a tree piece by piece on several goroutines, and hands
// the digests to the stack in order.
type run struct {
	tree  *Tree
	src   source
	stack *stack
	opts  Options

	piece   int // bytes, a multiple of the data block size
	workers int

	reading sync.Mutex // held while an ordered source is read

	mu    sync.Mutex
	moved sync.Cond
	next  int64 // piece to take
	done  int64 // pieces that the stack has
	ring  []slot
	err   error
}

// slot holds the digests of a piece until its turn comes.
type slot struct {
	sums  []byte
	ready bool
}

// root hashes everything and returns the root.
func (t *Tree) root(ctx context.Context, src source, v visit, opts Options) ([]byte, error) {
	r := &run{tree: t, src: src, stack: newStack(t.params, v), opts: opts}
	r.moved.L = &r.mu
	r.divide()
	defer context.AfterFunc(ctx, func() { r.fail(context.Cause(ctx)) })()
	var wg sync.WaitGroup
	for range r.workers - 1 {
		wg.Go(r.work)
	}
	r.work()
	wg.Wait()
	if err := r.failure(); err != nil {
		return nil, err
	}
	return r.stack.root()
}

func (r *run) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// divide decides how many pieces and workers there are.
func (r *run) divide() {
	block := r.tree.params.DataBlockSize
	workers := r.opts.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	workers = min(workers, maxBuffers/(2*block)) // a hasher has one in memory, too
	r.piece = max(min(pieceSize, maxBuffers/workers)/block*block, block)
	if r.tree.size < int64(r.piece) {
		r.piece = int(r.tree.blocks) * block
	}
	pieces := (r.tree.size-1)/int64(r.piece) + 1
	r.workers = int(min(int64(workers), pieces))
	waiting := min(r.workers*lead, max(maxSums/(r.piece/block*r.tree.digest), 2*r.workers))
	r.ring = make([]slot, min(int64(waiting), pieces))
}

// work hashes pieces until there are none left, or something went wrong.
func (r *run) work() {
	buf := make([]byte, r.piece)
	h := newHasher(r.tree.params, r.tree.params.DataBlockSize)
	for {
		n, err := r.read(buf)
		if err != nil {
			r.fail(err)
			return
		}
		if n < 0 {
			return
		}
		r.hash(h, n, buf)
		r.deliver(n)
	}
}

// read takes a piece and reads it. It returns -1 if none is left.
func (r *run) read(buf []byte) (int64, error) {
	if r.src.ordered() {
		r.reading.Lock()
		defer r.reading.Unlock()
	}
	n := r.take()
	if n < 0 {
		return n, nil
	}
	offset := n * int64(r.piece)
	length := min(int64(r.piece), r.tree.size-offset)
	if err := r.src.read(buf[:length], offset); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("the file or device ends before: %w", io.ErrUnexpectedEOF)
		}
		return n, fmt.Errorf("read %d bytes of data at %d: %w", length, offset, err)
	}
	clear(buf[length:])
	return n, nil
}

// take waits until the next piece has a slot.
func (r *run) take() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.err == nil && r.offset(r.next) < r.tree.size && r.next-r.done >= int64(len(r.ring)) {
		r.moved.Wait()
	}
	if r.err != nil || r.offset(r.next) >= r.tree.size {
		return -1
	}
	n := r.next
	r.next++
	return n
}

func (r *run) offset(piece int64) int64 {
	// The last piece may end beyond what int64 can hold; nothing begins there.
	if last := (r.tree.size - 1) / int64(r.piece); piece > last {
		return r.tree.size
	}
	return piece * int64(r.piece)
}

// hash fills the slot of piece n, which nobody else looks at until it is ready.
func (r *run) hash(h *hasher, n int64, buf []byte) {
	block := r.tree.params.DataBlockSize
	s := &r.ring[n%int64(len(r.ring))]
	blocks := int(min(int64(r.piece/block), r.tree.blocks-n*int64(r.piece/block)))
	s.sums = h.sums(s.sums[:0], buf[:blocks*block])
}

// deliver marks a piece as ready and gives the stack what is ready in order.
func (r *run) deliver(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring[n%int64(len(r.ring))].ready = true
	for r.err == nil {
		s := &r.ring[r.done%int64(len(r.ring))]
		if !s.ready {
			break
		}
		s.ready = false
		r.err = r.climb(s.sums)
		r.done++
	}
	r.moved.Broadcast()
}

func (r *run) climb(sums []byte) error {
	for at := 0; at < len(sums); at += r.tree.digest {
		if err := r.stack.add(0, sums[at:at+r.tree.digest]); err != nil {
			return err
		}
	}
	if r.opts.Progress != nil {
		r.opts.Progress(min(r.offset(r.done+1), r.tree.size))
	}
	return nil
}

// fail stops all workers; the first error counts.
func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
	r.moved.Broadcast()
}
