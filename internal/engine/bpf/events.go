package bpf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf/record"
)

// queueSize is how many records wait in memory for Events: more than the ring buffer
// that an earlier process left full can hold.
const queueSize = 8192

// readPause is the pause after a read that failed, so that a lasting failure does
// not keep a CPU busy.
const readPause = 100 * time.Millisecond

// reader empties the ring buffer. Watchers, which are our own and quick, see each
// record at once; then it waits in the queue for Events.
type reader struct {
	ring  *ringbuf.Reader
	log   *slog.Logger
	queue chan engine.Event
	stop  chan struct{}
	done  chan struct{}

	// dropped counts the records that found the queue full.
	dropped atomic.Uint64

	mu       sync.Mutex
	watchers map[*watcher]struct{}
}

type watcher struct{ note func(engine.Event) }

func newReader(m *ebpf.Map, log *slog.Logger) (*reader, error) {
	ring, err := ringbuf.NewReader(m)
	if err != nil {
		return nil, fmt.Errorf("open ring buffer: %w", err)
	}
	r := &reader{
		ring: ring, log: log, queue: make(chan engine.Event, queueSize),
		stop: make(chan struct{}), done: make(chan struct{}), watchers: map[*watcher]struct{}{},
	}
	go r.run()
	return r, nil
}

func (r *reader) run() {
	defer close(r.done)
	var rec ringbuf.Record
	for {
		err := r.ring.ReadInto(&rec)
		if errors.Is(err, ringbuf.ErrClosed) {
			return
		}
		var ev engine.Event
		if err == nil {
			ev, err = record.Decode(rec.RawSample, wallTime)
		}
		if err != nil {
			r.log.Error("a record could not be read", "error", err)
			time.Sleep(readPause)
			continue
		}
		r.deliver(ev)
	}
}

// deliver waits for nobody, or the next record of a self-test would wait, too.
func (r *reader) deliver(ev engine.Event) {
	r.mu.Lock()
	for w := range r.watchers {
		w.note(ev)
	}
	r.mu.Unlock()
	select {
	case r.queue <- ev:
	default:
		r.dropped.Add(1)
	}
}

// watch has note called for each record, until the returned function is called.
func (r *reader) watch(note func(engine.Event)) (cancel func()) {
	w := &watcher{note}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watchers[w] = struct{}{}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.watchers, w)
	}
}

func (r *reader) close() error {
	close(r.stop)
	err := r.ring.Close()
	<-r.done
	return err
}

// Events calls fn for each recorded decision until ctx ends, also for those that the
// kernel recorded before this process was there. Of several callers one gets each
// record. A slow fn makes the queue overflow: records are lost and counted, verdicts
// are not affected.
func (e *Engine) Events(ctx context.Context, fn func(engine.Event)) error {
	for {
		select {
		case ev := <-e.events.queue:
			fn(ev)
		case <-ctx.Done():
			return ctx.Err()
		case <-e.events.done:
			return errors.New("events: engine was closed")
		}
	}
}

// wallTime converts a time since boot.
func wallTime(sinceBoot time.Duration) time.Time {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return time.Now()
	}
	return time.Now().Add(sinceBoot - time.Duration(ts.Nano()))
}
