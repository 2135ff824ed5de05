package sink_test

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/sink"
	"github.com/ipe-linux/ipe/internal/control/trail"
)

// change is a record of a change.
func change(serial uint64) trail.Entry {
	e := entry(serial, audit.PolicyLoad{})
	e.Change = true
	return e
}

// by is a decision about a process of a user.
func by(uid uint32, serial uint64) trail.Entry {
	e := access(serial)
	e.Owner = uid
	return e
}

// TestChangesStay: so many decisions that the file is rotated away many times leave the
// records of changes in their own.
func TestChangesStay(t *testing.T) {
	path := t.TempDir() + "/log"
	all, err := sink.OpenAll("file:"+path, sink.Options{Log: slog.New(slog.DiscardHandler), FileSize: 10_000, FileCount: 3})
	if err != nil {
		t.Fatal(err)
	}
	put := func(e trail.Entry) {
		for _, s := range all {
			s.Put(e)
		}
	}
	put(change(1))
	const storm = 5000
	for i := range uint64(storm) {
		put(by(1000, i+2))
	}
	put(change(storm + 2))
	for _, s := range all {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	serials := ""
	for line := range strings.Lines(read(t, path+".changes")) {
		h, r, err := audit.Parse(line)
		if err != nil || r.Type() != audit.TypePolicyLoad {
			t.Errorf("%q: %v", line, err)
		}
		serials += fmt.Sprint(h.Serial, " ")
	}
	if serials != fmt.Sprint("1 ", storm+2, " ") {
		t.Errorf("the file of changes has %s", serials)
	}
	last, _ := os.ReadFile(path + ".2")
	if text := read(t, path) + read(t, path+".1") + string(last); strings.Contains(text, ":1): ") || !strings.Contains(text, fmt.Sprintf(":%d): ", storm+2)) {
		t.Errorf("the files of all records have the first, or lack the last change")
	}
	if got := fmt.Sprint(all[0].Status(), all[1].Status()); len(all) != 2 || got != fmt.Sprintf("{file:%s %d 0 0 } {file:%s.changes 2 0 0 }", path, storm+2, path) {
		t.Errorf("statuses %s", got)
	}
	for _, spec := range []string{"journal"} {
		if all, err := sink.OpenAll(spec, sink.Options{Log: slog.New(slog.DiscardHandler)}); err != nil || len(all) != 1 || all[0].Close() != nil {
			t.Errorf("%s: %d sinks, %v", spec, len(all), err)
		}
	}
	if err := os.Mkdir(path+"2.changes", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := sink.OpenAll("file:"+path+"2", sink.Options{Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a file of changes that is a directory is no error")
	}
}

// TestStormInQueue: while a sink hangs, the decisions of one user displace each other,
// and neither those of another nor changes.
func TestStormInQueue(t *testing.T) {
	hang := make(chan struct{})
	var out strings.Builder
	s := open(t, "journal", sink.Options{Log: slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		<-hang
		return out.Write(p)
	}), nil))})
	const few, storm = 100, 30_000
	for i := range uint64(few) {
		s.Put(by(1001, i))
	}
	for i := range uint64(storm) {
		e := by(1000, i)
		e.Decision = &api.Record{Action: "DENY", Comm: "storm"}
		s.Put(e)
	}
	for range 10 {
		e := change(1)
		e.Decision = &api.Record{Comm: "change"} // or the journal would not have it
		s.Put(e)
	}
	close(hang)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	st := s.Status()
	quiet, changes := strings.Count(out.String(), "policy_name=site"), strings.Count(out.String(), "comm=change")
	if quiet != few || changes != 10 || st.ChangesLost != 0 || st.Lost == 0 || st.Written+st.Lost != few+storm+10 {
		t.Errorf("%d of another user, %d changes; %+v", quiet, changes, st)
	}
}

// TestMergedInFile: the line of a count is none of a decision.
func TestMergedInFile(t *testing.T) {
	path := t.TempDir() + "/log"
	s := open(t, "file:"+path, sink.Options{Generation: audit.Newest})
	e := access(3)
	e.Decision.Merged = 41
	s.Put(e)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	line := read(t, path)
	if _, _, err := audit.Parse(line); err != audit.ErrNotIPE {
		t.Errorf("%q is taken for a record: %v", line, err)
	}
	last, n, ok := api.SplitMerged(line)
	if h, r, err := audit.Parse(last); !ok || n != 41 || err != nil || h.Serial != 3 || r.String() != e.Record.String() {
		t.Errorf("%q: %q, %d, %v, %v", line, last, n, ok, err)
	}
}
