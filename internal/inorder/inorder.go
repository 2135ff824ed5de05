// Package inorder has several workers do tasks at a time, and gives the results in the
// order of the tasks.
package inorder

import (
	"context"
	"iter"
	"runtime"
	"sync"
)

// maxBatch is how many tasks a worker takes at most at a time. To hand over one costs
// about as much as to measure a file of a few blocks.
const maxBatch = 32

// batch is tasks that a worker does one after the other.
type batch[T, R any] struct {
	tasks   []T
	results []R
	done    chan struct{} // closed when there are as many results, or nobody wants more
}

// Do has workers, one a processor, work on what tasks yields, and gives the
// results to each in the same order. It returns the first error of each, when nobody
// works any longer.
func Do[T, R any](ctx context.Context, tasks iter.Seq[T], worker func() func(T) R, each func(R) error) error {
	var busy sync.WaitGroup
	defer busy.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := runtime.GOMAXPROCS(0)
	order := make(chan *batch[T, R], 8*workers) // this many may wait for a slow one
	todo := make(chan *batch[T, R], cap(order))
	for range workers {
		busy.Go(func() {
			work := worker()
			for b := range todo {
				b.do(ctx, work)
			}
		})
	}
	busy.Go(func() {
		defer close(order)
		defer close(todo)
		for b := range batches[T, R](tasks, workers) {
			if !send(ctx, order, b) || !send(ctx, todo, b) {
				return
			}
		}
	})
	for b := range order {
		select {
		case <-b.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		for _, r := range b.results {
			if err := each(r); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// batches yields tasks some at a time: one by one as long as there are few, so that
// all workers get their share, and more later.
func batches[T, R any](tasks iter.Seq[T], workers int) iter.Seq[*batch[T, R]] {
	return func(yield func(*batch[T, R]) bool) {
		b, n := fresh[T, R](1), 0
		for t := range tasks {
			b.tasks = append(b.tasks, t)
			n++
			if len(b.tasks) < cap(b.tasks) {
				continue
			}
			if !yield(b) {
				return
			}
			b = fresh[T, R](max(1, min(maxBatch, n/(8*workers))))
		}
		if len(b.tasks) > 0 {
			yield(b)
		}
	}
}

// fresh has room for n tasks.
func fresh[T, R any](n int) *batch[T, R] {
	return &batch[T, R]{tasks: make([]T, 0, n), done: make(chan struct{})}
}

func (b *batch[T, R]) do(ctx context.Context, work func(T) R) {
	defer close(b.done)
	b.results = make([]R, 0, len(b.tasks))
	for _, t := range b.tasks {
		if ctx.Err() != nil {
			return
		}
		b.results = append(b.results, work(t))
	}
}

// send returns false when nobody wants more.
func send[T any](ctx context.Context, to chan<- T, what T) bool {
	select {
	case to <- what:
		return true
	case <-ctx.Done():
		return false
	}
}
