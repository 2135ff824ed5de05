package bpf

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/ruletab"
	"github.com/ipe-linux/ipe/policy"
)

// reader empties the ring buffer and hands each record to whoever subscribed.
type reader struct {
	ring *ringbuf.Reader
	done chan struct{}

	mu   sync.Mutex
	subs map[int]func(engine.Event)
	next int
}

func newReader(m *ebpf.Map) (*reader, error) {
	ring, err := ringbuf.NewReader(m)
	if err != nil {
		return nil, fmt.Errorf("open ring buffer: %w", err)
	}
	r := &reader{ring: ring, done: make(chan struct{}), subs: map[int]func(engine.Event){}}
	go r.run()
	return r, nil
}

func (r *reader) run() {
	defer close(r.done)
	var rec ringbuf.Record
	for {
		if err := r.ring.ReadInto(&rec); err != nil {
			if errors.Is(err, ringbuf.ErrClosed) {
				return
			}
			continue
		}
		if ev, err := decode(rec.RawSample); err == nil {
			r.publish(ev)
		}
	}
}

func (r *reader) publish(ev engine.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, fn := range r.subs {
		fn(ev)
	}
}

// subscribe has fn called for each record, until the returned function is called.
func (r *reader) subscribe(fn func(engine.Event)) (cancel func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := r.next
	r.next++
	r.subs[id] = fn
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.subs, id)
	}
}

func (r *reader) close() error {
	err := r.ring.Close()
	<-r.done
	return err
}

// Events calls fn for each recorded decision until ctx ends. A slow fn makes the
// ring buffer overflow: records are lost and counted, verdicts are not affected.
func (e *Engine) Events(ctx context.Context, fn func(engine.Event)) error {
	defer e.events.subscribe(fn)()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-e.events.done:
		return errors.New("events: engine was closed")
	}
}

// decode reads a struct event of bpf/events.h.
func decode(raw []byte) (engine.Event, error) {
	var e ipeEvent
	if _, err := binary.Decode(raw, binary.NativeEndian, &e); err != nil {
		return engine.Event{}, fmt.Errorf("decode record: %w", err)
	}
	has := func(need uint32) bool { return e.Present&need != 0 }
	ev := engine.Event{
		Time:       wallTime(e.BootNs),
		Generation: e.Generation,
		Enforcing:  e.Enforcing != 0,
		Decision:   ruletab.Decision(e.First, e.Fallback),
		PID:        e.Tgid,
		Comm:       text(e.Comm[:]),
		Name:       text(e.Name[:]),
		Device:     text(e.Device[:]),
		Inode:      e.Ino,
		Event:      eval.Event{Op: policy.Op(e.Op), Hook: eval.Hook(e.Hook)},
	}
	ev.Event.Evidence = eval.Evidence{
		BootVerified:     has(ruletab.NeedBoot),
		RootHashSigned:   has(ruletab.NeedRootSigned),
		FileDigestSigned: has(ruletab.NeedFileSigned),
	}
	if has(ruletab.NeedRoot) {
		ev.Event.Evidence.RootHash = digest.New(text(e.Root.Alg[:]), e.Root.Sum[:e.Root.Len])
	}
	if has(ruletab.NeedFile) {
		ev.Event.Evidence.FileDigest = digest.New(text(e.File.Alg[:]), e.File.Sum[:e.File.Len])
	}
	return ev, nil
}

// text is a NUL-terminated field as a string.
func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}

// wallTime converts nanoseconds since boot.
func wallTime(bootNs uint64) time.Time {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return time.Now()
	}
	return time.Now().Add(time.Duration(bootNs) - time.Duration(ts.Nano()))
}
