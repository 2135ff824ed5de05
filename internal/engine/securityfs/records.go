package securityfs

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
)

// queueSize is how many records wait in memory for Events.
const queueSize = 4096

// readPause is the pause after a read that failed, so that a lasting failure does
// not keep a CPU busy.
const readPause = 100 * time.Millisecond

// reader receives the kernel's records. Watchers, which are our own and quick, see
// each decision at once; then it waits in the queue for Events.
type reader struct {
	engine *Engine
	log    *slog.Logger
	conn   *netlink.Conn // nil if there can be no records
	silent string        // why so
	before uint64        // what the kernel had lost when this began
	queue  chan engine.Event
	stop   chan struct{}
	done   chan struct{}
	ended  atomic.Bool

	// dropped counts the records that found the queue full.
	dropped atomic.Uint64

	asking sync.Mutex
	asked  time.Time // when the kernel was last asked what it has lost
	since  uint64    // what it then had lost since this began

	mu       sync.Mutex
	watchers map[*watcher]struct{}
	// current is the policy that decides at this point of the stream.
	current [32]byte
	decided bool
}

type watcher struct{ note func(engine.Event) }

// newReader listens from now on, and reads nothing before start. That records cannot
// be had keeps nobody from enforcing: it is a condition that the state shows.
func newReader(e *Engine) *reader {
	r := &reader{
		engine: e, log: e.log, queue: make(chan engine.Event, queueSize),
		stop: make(chan struct{}), done: make(chan struct{}), watchers: map[*watcher]struct{}{},
	}
	conn, err := listen()
	if err != nil {
		r.silent = silence(err)
		e.log.Error("no records can be received", "reason", r.silent)
		return r
	}
	r.conn = conn
	if r.before, err = kernelLost(); err != nil {
		e.log.Warn("records that the kernel itself loses are not counted", "error", err)
	}
	return r
}

// silence explains why there is nothing to listen to.
func silence(err error) string {
	switch {
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.ECONNREFUSED):
		return "auditing is off (audit=0 on the kernel's command line)"
	case errors.Is(err, unix.EPERM):
		return "iped may not read audit records (it needs CAP_AUDIT_READ)"
	}
	return err.Error()
}

func (r *reader) start() {
	if r.conn == nil {
		close(r.done)
		return
	}
	if id, ok, err := r.engine.activeID(); err == nil && ok {
		r.turnTo(id)
	}
	go r.run()
}

func (r *reader) run() {
	defer close(r.done)
	for {
		messages, err := r.conn.Receive()
		switch {
		case r.ended.Load():
			return
		case errors.Is(err, unix.ENOBUFS):
			r.log.Warn("records were lost: the socket's buffer was full")
			if id, ok, err := r.engine.activeID(); err == nil && ok {
				r.turnTo(id) // the record that told may be among them
			}
			continue
		case err != nil:
			r.log.Error("records could not be read", "error", err)
			time.Sleep(readPause)
			continue
		}
		for _, m := range messages {
			r.take(audit.Type(m.Header.Type), string(m.Data))
		}
	}
}

// take handles one record.
func (r *reader) take(t audit.Type, text string) {
	h, rec, err := audit.ParseMessage(t, text)
	switch rec := rec.(type) {
	case audit.Access:
		r.deliver(r.event(h, rec))
	case audit.ConfigChange:
		if rec.New != nil {
			r.turnTo(rec.New.Digest)
		}
	case nil:
		if !errors.Is(err, audit.ErrNotIPE) {
			r.log.Error("a record could not be read", "error", err, "record", text)
		}
	}
}

// turnTo notes that the policy decides from here on.
func (r *reader) turnTo(id [32]byte) {
	r.engine.known.generation(id)
	r.engine.learn(id)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current, r.decided = id, true
}

// learn makes the policy known, if it is still in the kernel.
func (e *Engine) learn(id [32]byte) {
	if e.known.get(id) != nil {
		return
	}
	held, err := e.Held()
	if err != nil {
		e.log.Error("policies cannot be read back", "error", err)
	}
	for _, h := range held {
		if sha256.Sum256(h.Envelope) != id {
			continue
		}
		p, err := policy.Parse(h.Text)
		if err != nil {
			e.log.Error("the kernel's policy cannot be read", "policy_name", h.Name, "error", err)
			return
		}
		e.known.add(id, p)
	}
}

// event is the decision that a record tells of.
func (r *reader) event(h audit.Header, a audit.Access) engine.Event {
	ev := engine.Event{
		Time: h.Time, Enforcing: a.Enforcing, PID: a.PID, Comm: a.Comm,
		Event: eval.Event{Op: a.Op, Hook: a.Hook}, NoEvidence: true, NoUID: true,
	}
	if a.File != nil {
		ev.Path, ev.Device, ev.Inode = a.File.Path, a.File.Dev, a.File.Ino
	}
	r.mu.Lock()
	current, decided := r.current, r.decided
	r.mu.Unlock()
	var x *indexed
	if decided {
		ev.Generation = r.engine.known.generation(current)
		x = r.engine.known.get(current)
	}
	var ok bool
	if ev.Decision, ok = x.attribute(a.Op, a.Rule); ok {
		ev.Policy = x.policy
	} else {
		ev.Policy, ev.Decision = reconstruct(a.Rule)
	}
	return ev
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

// watch has note called for each decision, until the returned function is called.
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

// condition says why there can be no records, and how many were lost.
func (r *reader) condition() (silent string, lost uint64) {
	if r.conn == nil {
		return r.silent, 0
	}
	lost, err := dropped(r.conn)
	if err != nil {
		r.log.Error("lost records cannot be counted", "error", err)
	}
	return "", lost + r.kernelLost() + r.dropped.Load()
}

// askAgain is how old the kernel's own count of losses may be.
const askAgain = time.Second

// kernelLost is what the kernel says it has lost since this began.
func (r *reader) kernelLost() uint64 {
	r.asking.Lock()
	defer r.asking.Unlock()
	if time.Since(r.asked) < askAgain {
		return r.since
	}
	r.asked = time.Now()
	if all, err := kernelLost(); err == nil && all > r.before {
		r.since = all - r.before
	}
	return r.since
}

func (r *reader) close() error {
	r.ended.Store(true)
	close(r.stop)
	if r.conn == nil {
		return nil
	}
	err := r.conn.Close()
	<-r.done
	if err != nil {
		return fmt.Errorf("close audit socket: %w", err)
	}
	return nil
}
