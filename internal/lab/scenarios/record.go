//go:build linux

package scenarios

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
)

// recordTime is how long a record may take to come, on a busy emulated machine.
const recordTime = time.Minute

// settleTime bounds the wait for all of a scenario's, which may be thousands.
const settleTime = 3 * time.Minute

// masks turns records into what is the same on every machine.
type masks struct {
	self, daemon uint32
	// messages are the digests of what was written to the tree, by digest.
	messages map[[32]byte]string
	words    []string
}

func newMasks() masks {
	return masks{self: uint32(os.Getpid()), messages: map[[32]byte]string{}}
}

// replace has records show a name instead of what depends on the machine.
func (m *masks) replace(what, name string) { m.words = append(m.words, what, name) }

// plain is text that anybody may compare.
func (m *masks) plain(text string) string { return strings.NewReplacer(m.words...).Replace(text) }

// text is the canonical form of a record.
func (m *masks) text(r audit.Record) string {
	text := r.String()
	switch r := r.(type) {
	case audit.Access:
		text = m.access(r)
	case audit.ConfigChange:
		text = m.digests(text, r.Old, r.New)
	case audit.PolicyLoad:
		text = m.digests(text, r.Policy)
	}
	return strconv.Itoa(int(r.Type())) + " " + m.plain(text)
}

// access tells whose process it was instead of its id; inode numbers are left out.
func (m *masks) access(a audit.Access) string {
	pid := "other"
	if a.PID == m.self {
		pid = "self"
	}
	a.PID = 0
	if a.File != nil && !a.File.NoInode {
		f := *a.File
		f.Ino = 0
		a.File = &f
	}
	return strings.Replace(a.String(), " pid=0 ", " pid="+pid+" ", 1)
}

// digests shows which message had the digest.
func (m *masks) digests(text string, ids ...*audit.PolicyID) string {
	for _, id := range ids {
		if id == nil {
			continue
		}
		if name, ok := m.messages[id.Digest]; ok {
			text = strings.Replace(text, fmt.Sprintf("sha256:%X", id.Digest), "sha256:of-"+name, 1)
		}
	}
	return text
}

// ours reports whether a record is about what this program did.
func (m *masks) ours(r audit.Record) bool {
	a, ok := r.(audit.Access)
	return !ok || a.PID != m.daemon || m.daemon == 0
}

// comm is the name of the thread that a record is about; none for changes.
func comm(r audit.Record) string {
	if a, ok := r.(audit.Access); ok {
		return a.Comm
	}
	return ""
}

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
		r, err := s.source.next(end)
		if err != nil {
			return all, fmt.Errorf("settle %s: after %d records: %w", name, len(all), err)
		}
		if comm(r) == name {
			return all, nil
		}
		if s.masks.ours(r) {
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
		texts = append(texts, s.masks.text(r))
	}
	return s.out.line(s.scenario, what, got, texts...)
}
