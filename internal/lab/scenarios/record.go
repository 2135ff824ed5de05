//go:build linux

package scenarios

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/lab/scenarios/records"
)

// recordTime is how long a record may take to come, on a busy emulated machine.
const recordTime = time.Minute

// settleTime bounds the wait for all of a scenario's, which may be thousands.
const settleTime = 3 * time.Minute

// settle provokes a record by a name that nobody had before, and gives all records
// that came before it. Before a policy is active there can be none that denies the
// marker; the next call gives what was recorded until then.
func (s *Session) settle() ([]audit.Record, error) {
	if !s.active {
		return nil, nil
	}
	s.serial++
	name := fmt.Sprintf("marker %d", s.serial)
	if err := rename(name); err != nil {
		return nil, err
	}
	err := s.marker.mapped(page, unix.MAP_PRIVATE)
	if e := rename("probe"); e != nil {
		return nil, e
	}
	if err != nil && !errors.Is(err, unix.EACCES) {
		return nil, fmt.Errorf("settle: %w", err)
	}
	var all []audit.Record
	for last := time.Now().Add(settleTime); ; {
		end := time.Now().Add(recordTime) // as long as others come, ours may be behind them
		if last.Before(end) {
			end = last
		}
		r, err := s.source.Next(end)
		if err != nil {
			return all, fmt.Errorf("settle %s: after %d records: %w", name, len(all), err)
		}
		if records.Comm(r) == name {
			return all, nil
		}
		if s.masks.Ours(r) {
			all = append(all, r)
		}
	}
}

// observe tries something and writes a line with what came of it and all records.
func (s *Session) observe(what string, try func() error) error {
	got := result(try())
	return s.report(what, got)
}

// report writes a line with all records that came until now.
func (s *Session) report(what, got string) error {
	records, err := s.settle()
	if err != nil {
		return err
	}
	var texts []string
	for _, r := range records {
		texts = append(texts, s.masks.Text(r))
	}
	return s.out.Write(s.scenario, what, got, texts...)
}
