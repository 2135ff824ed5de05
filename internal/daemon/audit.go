package daemon

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/sink"
	"github.com/ipe-linux/ipe/internal/decimal"
	"github.com/ipe-linux/ipe/internal/ownership"
)

// auditConfig says where records go.
type auditConfig struct {
	sinks      []string
	generation audit.Generation
	fileMiB    int
	files      int
}

func auditFlags(fs *flag.FlagSet, c *auditConfig) {
	*c = auditConfig{sinks: []string{"journal"}, generation: audit.Newest, fileMiB: 8, files: 5}
	var given []string
	fs.Func("audit", "`sink` of records: file:PATH, netlink or journal; may be repeated (default journal)", func(s string) error {
		given = append(given, s)
		c.sinks = given
		return nil
	})
	fs.Func("audit-generation", "write records as the kernels from this `version` on: 6.12, 6.16, 6.17 or 6.19 (default the newest)", func(s string) (err error) {
		c.generation, err = audit.ParseGeneration(s)
		return err
	})
	fs.Var(decimal.Flag(&c.fileMiB, c.fileMiB), "audit-size", "rotate a file of records at this size in `MiB`; 0 for never")
	fs.Var(decimal.Flag(&c.files, c.files), "audit-files", "`number` of files of records that are kept, the current one included")
}

func (c *auditConfig) check() error {
	const most = 999
	switch {
	case c.fileMiB > 1<<20:
		return fmt.Errorf("--audit-size %d: not between 0 and %d", c.fileMiB, 1<<20)
	case c.files < 1 || c.files > most:
		return fmt.Errorf("--audit-files %d: not between 1 and %d", c.files, most)
	}
	return nil
}

// sinkRetry is how often a sink that could not be opened is tried again: its directory
// may be on a file system that is mounted later.
const sinkRetry = 30 * time.Second

// sinks are the sinks of records. One that cannot be opened is a problem, and is tried
// again.
type sinks struct {
	c   *control.Control
	log *slog.Logger
	to  sink.Options

	mu     sync.Mutex
	open   []*sink.Sink
	closed []string // specs of those that are not open yet
}

// openSinks opens the sinks; they get what was recorded before, too.
func openSinks(cfg auditConfig, c *control.Control, log *slog.Logger) *sinks {
	s := &sinks{c: c, log: log, closed: cfg.sinks, to: sink.Options{
		Generation: cfg.generation, Log: log, Journal: counted(log), FileSize: int64(cfg.fileMiB) << 20, FileCount: cfg.files,
	}}
	s.openRest()
	return s
}

// openRest tries those that are not open.
func (s *sinks) openRest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []string
	for _, spec := range s.closed {
		key := "audit sink " + spec
		opened, err := sink.OpenAll(spec, s.to)
		if err != nil {
			left = append(left, spec)
			s.c.SetProblem(key, err)
			continue
		}
		s.c.SetProblem(key, removable(spec))
		for _, sink := range opened {
			s.c.AddSink(sink)
		}
		s.open = append(s.open, opened...)
	}
	s.closed = left
}

// removable returns an error for a file of records that others than root can remove.
func removable(spec string) error {
	path, ok := strings.CutPrefix(spec, "file:")
	if !ok {
		return nil
	}
	if err := ownership.Check(filepath.Dir(path)); err != nil {
		return fmt.Errorf("records may be removed by others: %w", err)
	}
	return nil
}

// openLater tries those that are not open from time to time, until ctx ends.
func (s *sinks) openLater(ctx context.Context) {
	every(ctx.Done(), sinkRetry, func() bool { s.openRest(); return true })
}

// reopen has files opened anew, and tries those that are not open. What fails is in the
// status of the sink, or a problem.
func (s *sinks) reopen() {
	s.openRest()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sink := range s.open {
		sink.Reopen()
	}
}

func (s *sinks) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sink := range s.open {
		if err := sink.Close(); err != nil {
			s.log.Error("audit sink", "sink", sink.Status().Name, "error", err)
		}
	}
}
