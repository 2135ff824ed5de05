package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/auditsink"
	"github.com/ipe-linux/ipe/internal/control"
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
	fs.IntVar(&c.fileMiB, "audit-size", c.fileMiB, "rotate a file of records at this size in `MiB`; 0 for never")
	fs.IntVar(&c.files, "audit-files", c.files, "`number` of files of records that are kept, the current one included")
}

func (c *auditConfig) check() error {
	const most = 999
	switch {
	case c.fileMiB < 0 || c.fileMiB > 1<<20:
		return fmt.Errorf("--audit-size %d: not between 0 and %d", c.fileMiB, 1<<20)
	case c.files < 1 || c.files > most:
		return fmt.Errorf("--audit-files %d: not between 1 and %d", c.files, most)
	}
	return nil
}

// sinks are the open sinks of records.
type sinks struct {
	all []*auditsink.Sink
	log *slog.Logger
}

func openSinks(c auditConfig, log *slog.Logger) (*sinks, error) {
	s := &sinks{log: log}
	for _, spec := range c.sinks {
		sink, err := auditsink.Open(spec, auditsink.Options{
			Generation: c.generation, Log: log, FileSize: int64(c.fileMiB) << 20, FileCount: c.files,
		})
		if err != nil {
			s.close()
			return nil, err
		}
		s.all = append(s.all, sink)
	}
	return s, nil
}

func (s *sinks) forControl() []control.Sink {
	var all []control.Sink
	for _, sink := range s.all {
		all = append(all, sink)
	}
	return all
}

// reopenOnHangup has files opened anew at SIGHUP, until ctx ends.
func (s *sinks) reopenOnHangup(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	go func() {
		defer signal.Stop(hangup)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangup:
				for _, sink := range s.all {
					sink.Reopen()
				}
			}
		}
	}()
}

func (s *sinks) close() {
	for _, sink := range s.all {
		if err := sink.Close(); err != nil {
			s.log.Error("audit sink", "sink", sink.Status().Name, "error", err)
		}
	}
}
