// Package sink takes the records of the kernel's IPE to where administrators
// look for them:
//
//	file:PATH   a file in the format of auditd's log, which its tools read
//	netlink     the kernel's audit, as messages of a trusted application
//	journal     the daemon's own log
//
// A file has a second one beside it, PATH.changes, with the records of changes alone:
// so many decisions as others may provoke, those stay.
//
// Each sink has a queue of its own and a writer that empties it. Nobody waits for a
// sink: when its queue is full it loses records, which are counted, and of changes
// none for the sake of decisions.
package sink

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/fairqueue"
	"github.com/ipe-linux/ipe/internal/control/trail"
)

// queueSize is how many records wait for a slow writer, changesSize how many of changes
// beside them, and batchSize how many are written at once.
const (
	queueSize   = 8192
	changesSize = 1024
	batchSize   = 256
)

// changesSuffix names the file of changes.
const changesSuffix = ".changes"

const filePrefix = "file:"

// Options are what sinks have in common.
type Options struct {
	// Generation is the kernel whose records are written.
	Generation audit.Generation
	// Log is where sinks tell what is wrong with them.
	Log *slog.Logger
	// Journal is where the sink "journal" writes. Its errors count as lost records.
	Journal slog.Handler
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
	write(batch []trail.Entry) (int, error)
	reopen() error
	close() error
}

// Sink is an open sink. It is a trail.Sink.
type Sink struct {
	name  string
	to    writer
	log   *slog.Logger
	keeps func(trail.Entry) bool

	wake  chan struct{}
	again chan struct{}
	end   chan struct{}
	done  chan error

	mu     sync.Mutex
	queue  *fairqueue.Queue[trail.Entry]
	status api.SinkStatus
	// stale says why a file could not be opened anew; empty if it could.
	stale string
}

// OpenAll opens the sink that spec names, and beside a file that of the changes.
func OpenAll(spec string, o Options) ([]*Sink, error) {
	s, err := Open(spec, o)
	if err != nil {
		return nil, err
	}
	if _, isFile := strings.CutPrefix(spec, filePrefix); !isFile {
		return []*Sink{s}, nil
	}
	changes, err := openSink(spec+changesSuffix, o, func(e trail.Entry) bool { return e.Change })
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return []*Sink{s, changes}, nil
}

// Open opens the sink that spec names: "file:PATH", "netlink" or "journal".
func Open(spec string, o Options) (*Sink, error) {
	if spec == journalName {
		return openSink(spec, o, func(e trail.Entry) bool { return e.Decision != nil })
	}
	return openSink(spec, o, func(trail.Entry) bool { return true })
}

// openSink opens a sink of those entries that it keeps and can write.
func openSink(spec string, o Options, keeps func(trail.Entry) bool) (*Sink, error) {
	w, err := openWriter(spec, o)
	if err != nil {
		return nil, fmt.Errorf("open audit sink %s: %w", spec, err)
	}
	s := &Sink{
		name: spec, to: w, log: o.Log,
		keeps: func(e trail.Entry) bool {
			return keeps(e) && (spec == journalName || e.Record != nil && o.Generation.Records(e.Record))
		},
		queue: fairqueue.New[trail.Entry](queueSize, changesSize), wake: make(chan struct{}, 1),
		again: make(chan struct{}, 1), end: make(chan struct{}), done: make(chan error, 1),
		status: api.SinkStatus{Name: spec},
	}
	go func() { s.done <- s.run() }()
	return s, nil
}

func openWriter(spec string, o Options) (writer, error) {
	path, isFile := strings.CutPrefix(spec, filePrefix)
	switch {
	case isFile:
		return openFile(path, o)
	case spec == "netlink":
		return openNetlink(o.Generation)
	case spec == journalName:
		return &journalWriter{o.Journal}, nil
	}
	return nil, fmt.Errorf("%w: file:PATH, netlink or journal", ErrUnknown)
}

// Put implements trail.Sink.
func (s *Sink) Put(e trail.Entry) {
	if !s.keeps(e) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if lost, full := e.PutInto(s.queue); full {
		s.lose(lost)
		s.status.Error = errFull.Error()
	}
	select {
	case s.wake <- struct{}{}:
	default: // it is about to look
	}
}

// lose counts an entry that is not written. The caller holds mu.
func (s *Sink) lose(e trail.Entry) {
	s.status.Lost++
	if e.Change {
		s.status.ChangesLost++
	}
}

var errFull = errors.New("the queue was full")

// Status implements trail.Sink.
func (s *Sink) Status() api.SinkStatus {
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
	for {
		select {
		case <-s.wake:
			for batch := s.batch(); len(batch) > 0; batch = s.batch() {
				s.write(batch)
			}
		case <-s.again:
			s.renew()
		case <-s.end:
			return s.finish()
		}
	}
}

// renew opens a file anew. If that fails, records go where they went, and the status says
// so until it succeeds.
func (s *Sink) renew() {
	err := s.to.reopen()
	s.mu.Lock()
	s.stale = ""
	if err != nil {
		s.stale = "not opened anew, records go where they went: " + err.Error()
	}
	s.status.Error = s.stale
	s.mu.Unlock()
	s.tell(err)
}

// finish writes what waits, until that fails, and closes.
func (s *Sink) finish() error {
	for batch := s.batch(); len(batch) > 0 && s.write(batch); batch = s.batch() {
	}
	for batch := s.batch(); len(batch) > 0; batch = s.batch() {
		s.count(batch, 0, nil)
	}
	return s.to.close()
}

// batch takes some of what waits.
func (s *Sink) batch() []trail.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := make([]trail.Entry, 0, min(s.queue.Len(), batchSize))
	for len(batch) < cap(batch) {
		e, _ := s.queue.Take()
		batch = append(batch, e)
	}
	return batch
}

// write reports whether all was written.
func (s *Sink) write(batch []trail.Entry) bool {
	before := s.Status().Error
	n, err := s.to.write(batch)
	s.count(batch, n, err)
	if err != nil && err.Error() != before { // not once a batch while the disk is full
		s.tell(err)
	}
	return err == nil
}

// count notes that the first n of batch are written.
func (s *Sink) count(batch []trail.Entry, n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Written += uint64(n)
	for _, e := range batch[n:] {
		s.lose(e)
	}
	switch {
	case err != nil:
		s.status.Error = err.Error()
	case n > 0:
		s.status.Error = s.stale
	}
}

func (s *Sink) tell(err error) {
	if err != nil {
		s.log.Error("audit sink", "sink", s.name, "error", err)
	}
}
