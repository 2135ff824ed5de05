package sink_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/sink"
	"github.com/ipe-linux/ipe/internal/control/sink/journal"
	"github.com/ipe-linux/ipe/internal/control/trail"
	"github.com/ipe-linux/ipe/internal/lab/await"
	"github.com/ipe-linux/ipe/policy"
)

func open(t *testing.T, spec string, o sink.Options) *sink.Sink {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Journal == nil {
		o.Journal = o.Log.Handler()
	}
	s, err := sink.Open(spec, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func entry(serial uint64, r audit.Record) trail.Entry {
	return trail.Entry{Header: audit.Header{Time: time.UnixMilli(1795453970487), Serial: serial}, Record: r}
}

func access(serial uint64) trail.Entry {
	e := entry(serial, audit.Access{PID: 7, Comm: "sh", File: &audit.File{Path: "/a b", Dev: "dm-0", Ino: 5}, Rule: audit.Statement{Scope: policy.ScopeGlobal, Action: policy.Deny}})
	e.Decision = &api.Record{Action: "DENY", PID: 7, Path: "/a b", Policy: "site"}
	return e
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// waitWritten waits until the sink has dealt with n entries.
func waitWritten(t *testing.T, s *sink.Sink, n uint64) {
	t.Helper()
	awaitSink(t, s, func(now api.SinkStatus) bool { return now.Written+now.Lost >= n })
}

func TestFile(t *testing.T) {
	for _, tt := range []struct {
		g    audit.Generation
		want string
	}{
		{audit.Newest, `type=UNKNOWN[1420] msg=audit(1795453970.487:1): ipe_op=EXECUTE ipe_hook=BPRM_CHECK enforcing=0 pid=7 comm="sh" path=2F612062 dev="dm-0" ino=5 rule="DEFAULT action=DENY"
type=MAC_STATUS msg=audit(1795453970.487:3): enforcing=0 old_enforcing=1 auid=1000 ses=2 enabled=1 old-enabled=1 lsm=ipe res=1
type=MAC_STATUS msg=audit(1795453970.487:2): ` + `
type=UNKNOWN[1422] msg=audit(1795453970.487:4): policy_name=? policy_version=? policy_digest=? auid=0 ses=0 lsm=ipe res=0 errno=-126
`},
		{audit.Linux6_12, `type=UNKNOWN[1420] msg=audit(1795453970.487:1): ipe_op=EXECUTE ipe_hook=BPRM_CHECK enforcing=0 pid=7 comm="sh" path=2F612062 dev="dm-0" ino=5 rule="DEFAULT action=DENY"
type=MAC_STATUS msg=audit(1795453970.487:3): enforcing=0 old_enforcing=1 auid=1000 ses=2 enabled=1 old-enabled=1 lsm=ipe res=1
type=MAC_STATUS msg=audit(1795453970.487:2): ` + `
`},
	} {
		path := filepath.Join(t.TempDir(), "log")
		s := open(t, "file:"+path, sink.Options{Generation: tt.g})
		s.Put(access(1))
		s.Put(entry(3, audit.Status{OldEnforcing: true, Subject: audit.Subject{AUID: 1000, Session: 2}}))
		s.Put(entry(2, audit.EmptyStatus{}))
		s.Put(entry(4, audit.PolicyLoad{Errno: 126}))
		s.Put(trail.Entry{Decision: &api.Record{}}) // its policy is forgotten
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != tt.want {
			t.Errorf("%v:\n%s\nwant\n%s", tt.g, got, tt.want)
		}
		if st, err := os.Stat(path); err != nil || st.Mode() != 0o600 {
			t.Errorf("mode %v, %v", st.Mode(), err)
		}
	}
}

// TestFileAppends: what is there stays, is private from then on, and a line that was cut
// off gets no other in it.
func TestFileAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("whole\ncut o"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := open(t, "file:"+path, sink.Options{})
	s.Put(access(1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(read(t, path), "\n")
	if len(lines) != 4 || lines[1] != "cut o" || !strings.HasPrefix(lines[2], "type=") {
		t.Errorf("%q", lines)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

func TestFileRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s := open(t, "file:"+path, sink.Options{FileSize: 200, FileCount: 3})
	for i := range 9 {
		s.Put(access(uint64(i + 1)))
		waitWritten(t, s, uint64(i+1))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	serials := func(name string) (all []uint64) {
		for line := range strings.Lines(read(t, name)) {
			h, _, err := audit.Parse(line)
			if err != nil {
				t.Fatal(err, line)
			}
			all = append(all, h.Serial)
		}
		return all
	}
	if got := fmt.Sprint(serials(path), serials(path+".1"), serials(path+".2")); got != "[9] [7 8] [5 6]" {
		t.Errorf("current, .1 and .2 have %s", got)
	}
	if _, err := os.Stat(path + ".3"); err == nil {
		t.Error("a fourth file is kept")
	}
}

func TestFileReopens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s := open(t, "file:"+path, sink.Options{})
	s.Put(access(1))
	waitWritten(t, s, 1)
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	s.Put(access(2)) // still into the old one
	waitWritten(t, s, 2)
	s.Reopen()
	if err := await.NoError(func() error { _, err := os.Stat(path); return err }); err != nil {
		t.Fatal(err)
	}
	s.Put(access(3))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if a, b := strings.Count(read(t, path+".old"), "\n"), strings.Count(read(t, path), "\n"); a != 2 || b != 1 {
		t.Errorf("%d and %d lines, want 2 and 1", a, b)
	}
}

// TestFileNotReopened: where no new file can be, records go on to the old one, and the
// status says so until there is a new one.
func TestFileNotReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s := open(t, "file:"+path, sink.Options{})
	if err := errors.Join(os.Rename(path, path+".old"), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	s.Reopen()
	awaitSink(t, s, func(st api.SinkStatus) bool { return strings.Contains(st.Error, "records go where they went") })
	s.Put(access(1))
	waitWritten(t, s, 1)
	if st := s.Status(); st.Lost != 0 || st.Error == "" {
		t.Errorf("%+v, want nothing lost, and it told", st)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.Reopen()
	awaitSink(t, s, func(st api.SinkStatus) bool { return st.Error == "" })
	s.Put(access(2))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if a, b := strings.Count(read(t, path+".old"), "\n"), strings.Count(read(t, path), "\n"); a != 1 || b != 1 {
		t.Errorf("%d and %d lines, want one each", a, b)
	}
}

func awaitSink(t *testing.T, s *sink.Sink, want func(api.SinkStatus) bool) {
	t.Helper()
	if !await.Until(func() bool { return want(s.Status()) }) {
		t.Fatalf("%+v", s.Status())
	}
}

// TestFullDisk: what does not fit is counted, and nobody waits.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := open(t, "file:"+dir+"/log", sink.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	limited := before
	limited.Cur = 400 // two lines and a half
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limited); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		s.Put(access(uint64(i + 1)))
	}
	waitWritten(t, s, 5)
	st := s.Status()
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if st.Written == 0 || st.Lost == 0 || st.Written+st.Lost != 5 || !strings.Contains(st.Error, "file too large") {
		t.Errorf("%+v", st)
	}
	s.Put(access(6))
	waitWritten(t, s, 6)
	if after := s.Status(); after.Written != st.Written+1 || after.Error != "" {
		t.Errorf("with room again: %+v", after)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(read(t, dir+"/log"), "\n"), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, "487:6): ipe_op=") || !strings.HasPrefix(last, "type=") {
		t.Errorf("the last line is not whole: %q", last)
	}
	if !strings.Contains(log.String(), "file too large") {
		t.Errorf("log: %s", log.String())
	}
}

// TestNobodyWaits: a journal that hangs holds up nothing but itself.
func TestNobodyWaits(t *testing.T) {
	hang := make(chan struct{})
	s := open(t, "journal", sink.Options{Log: slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		<-hang
		return len(p), nil
	}), nil))})
	const many = 20000
	start := time.Now()
	for i := range many {
		s.Put(access(uint64(i)))
	}
	if d := time.Since(start); d > time.Minute {
		t.Errorf("%v for %d", d, many)
	}
	if st := s.Status(); st.Lost < many/2 || st.Error != "the queue was full" {
		t.Errorf("%+v", st)
	}
	close(hang)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if st := s.Status(); st.Written+st.Lost != many {
		t.Errorf("%+v, want %d in all", st, many)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestJournal(t *testing.T) {
	var log bytes.Buffer
	s := open(t, "journal", sink.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	s.Put(access(1))
	s.Put(entry(2, audit.PolicyLoad{})) // control logs that itself
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := log.String(); !strings.Contains(got, `msg=decision action=DENY`) || !strings.Contains(got, `path="/a b"`) ||
		!strings.Contains(got, "policy_name=site") || strings.Count(got, "\n") != 1 {
		t.Errorf("%q", got)
	}
}

// TestJournalTakesNothing: what a log does not take counts as lost, with the reason.
func TestJournalTakesNothing(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	s := open(t, "journal", sink.Options{Journal: slog.NewTextHandler(full, nil)})
	s.Put(access(1))
	waitWritten(t, s, 1)
	if st := s.Status(); st.Written != 0 || st.Lost != 1 || !strings.Contains(st.Error, "no space left") {
		t.Errorf("%+v, want one lost", st)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestJournalLevels: being kept from something is a warning; what would be is less, and
// what was allowed least.
func TestJournalLevels(t *testing.T) {
	var log bytes.Buffer
	s := open(t, "journal", sink.Options{Journal: slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: journal.ReplaceLevel})})
	for _, d := range []api.Record{{Action: "DENY", Enforcing: true}, {Action: "DENY"}, {Action: "ALLOW", Enforcing: true}} {
		s.Put(trail.Entry{Decision: &d})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(log.String(), "\n")
	for i, want := range [][2]string{{"level=WARN ", "kind=denied"}, {"level=NOTICE ", "kind=would-deny"}, {"level=INFO ", "kind=allowed"}} {
		if i >= len(lines) || !strings.Contains(lines[i], want[0]) || !strings.HasSuffix(lines[i], want[1]) {
			t.Errorf("line %d of %q, want %q", i, lines, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("target", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]string{
		"syslog": "no such sink", "file:": "needs a path", "file:" + dir: "is a directory", "": "no such sink",
		"file:" + dir + "/fifo": "no such device or address", "file:" + dir + "/link": "too many levels of symbolic links",
		"file:" + dir + "/gone/log": "no such file",
	} {
		_, err := sink.Open(spec, sink.Options{Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "open audit sink "+spec) {
			t.Errorf("%q: %v, want %q", spec, err, want)
		}
	}
}
