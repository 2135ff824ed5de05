// Package auditsink takes the records of the kernel's IPE to where administrators
// look for them:
//
//	file:PATH   a file in the format of auditd's log, which its tools read
//	netlink     the kernel's audit, as messages of a trusted application
//	journal     the daemon's own log
//
// Each sink has a queue of its own and a writer that empties it. Nobody waits for a
// sink: when its queue is full it loses records, which are counted.
package auditsink

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control"
)

// queueSize is how many records wait for a slow writer, and batchSize how many of
// them are written at once.
const (
	queueSize = 8192
	batchSize = 256
)

// Options are what sinks have in common.
type Options struct {
	// Generation is the kernel whose records are written.
	Generation audit.Generation
	// Log is where the sink "journal" writes, and others what is wrong with them.
	Log *slog.Logger
	// FileSize is the size from which on a file is rotated, in bytes; 0 for never.
	FileSize int64
	// FileCount is how many files are kept, the current one included; at least 1.
	FileCount int
}

// ErrUnknown means a name that is none of the sinks.
var ErrUnknown = errors.New("no such sink")

// writer writes entries and returns how many of them it has written. After an error
// the others are lost.
type writer interface {
	write(batch []control.Entry) (int, error)
	reopen() error
	close() error
}

// Sink is an open sink. It is a control.Sink.
type Sink struct {
	name  string
	to    writer
	log   *slog.Logger
	keeps func(control.Entry) bool

	queue chan control.Entry
	again chan struct{}
	end   chan struct{}
	done  chan error

	mu     sync.Mutex
	status control.SinkStatus
}

// Open opens the sink that spec names: "file:PATH", "netlink" or "journal".
func Open(spec string, o Options) (*Sink, error) {
	w, err := openWriter(spec, o)
	if err != nil {
		return nil, fmt.Errorf("open audit sink %s: %w", spec, err)
	}
	s := &Sink{
		name: spec, to: w, log: o.Log, keeps: func(e control.Entry) bool { return e.Record != nil && o.Generation.Records(e.Record) },
		queue: make(chan control.Entry, queueSize), again: make(chan struct{}, 1), end: make(chan struct{}), done: make(chan error, 1),
		status: control.SinkStatus{Name: spec},
	}
	if spec == journalName {
		s.keeps = func(e control.Entry) bool { return e.Decision != nil }
	}
	go func() { s.done <- s.run() }()
	return s, nil
}

func openWriter(spec string, o Options) (writer, error) {
	path, isFile := strings.CutPrefix(spec, "file:")
	switch {
	case isFile:
		return openFile(path, o)
	case spec == "netlink":
		return openNetlink(o.Generation)
	case spec == journalName:
		return &journal{o.Log}, nil
	}
	return nil, fmt.Errorf("%w: file:PATH, netlink or journal", ErrUnknown)
}

// Put implements control.Sink.
func (s *Sink) Put(e control.Entry) {
	if !s.keeps(e) {
		return
	}
	select {
	case s.queue <- e:
	default:
		s.count(0, 1, errFull)
	}
}

var errFull = errors.New("the queue was full")

// Status implements control.Sink.
func (s *Sink) Status() control.SinkStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Reopen makes a file be opened anew, after somebody has moved it away.
func (s *Sink) Reopen() {
	select {
	case s.again <- struct{}{}:
	default: // it is about to
	}
}

// Close writes what is queued, unless that fails, and closes the sink. Nothing may be
// put any more.
func (s *Sink) Close() error {
	close(s.end)
	return <-s.done
}

func (s *Sink) run() error {
	batch := make([]control.Entry, 0, batchSize)
	for {
		select {
		case e := <-s.queue:
			s.write(s.fill(append(batch[:0], e)))
		case <-s.again:
			s.tell(s.to.reopen())
		case <-s.end:
			for len(s.queue) > 0 && s.write(s.fill(batch[:0])) {
			}
			s.count(0, len(s.queue), nil)
			return s.to.close()
		}
	}
}

// fill adds what waits.
func (s *Sink) fill(batch []control.Entry) []control.Entry {
	for len(batch) < cap(batch) {
		select {
		case e := <-s.queue:
			batch = append(batch, e)
		default:
			return batch
		}
	}
	return batch
}

// write reports whether all was written.
func (s *Sink) write(batch []control.Entry) bool {
	before := s.Status().Error
	n, err := s.to.write(batch)
	s.count(n, len(batch)-n, err)
	if err != nil && err.Error() != before { // not once a batch while the disk is full
		s.tell(err)
	}
	return err == nil
}

func (s *Sink) count(written, lost int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Written += uint64(written)
	s.status.Lost += uint64(lost)
	switch {
	case err != nil:
		s.status.Error = err.Error()
	case written > 0:
		s.status.Error = ""
	}
}

func (s *Sink) tell(err error) {
	if err != nil {
		s.log.Error("audit sink", "sink", s.name, "error", err)
	}
}
