//go:build linux

package sink_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/conformance"
	"github.com/ipe-linux/ipe/internal/control/sink"
	"github.com/ipe-linux/ipe/internal/control/trail"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// tools are the programs of Debian's auditd that read logs.
type tools struct{ dir string }

func newTools(t *testing.T) tools {
	t.Helper()
	dir, err := debian.Unpacked(t.Context(), debian.AuditTools()...)
	if err != nil {
		t.Fatal(err)
	}
	return tools{dir}
}

// run returns what a tool prints about a log; it exits with 1 if it finds nothing.
func (a tools) run(t *testing.T, name, log string, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(a.dir, "sbin", name), append([]string{"-if", log}, args...)...)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+a.dir+"/lib/x86_64-linux-gnu:"+a.dir+"/usr/lib/x86_64-linux-gnu", "TZ=UTC", "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// kernelLog is what a live kernel wrote, as auditd writes it down and as our sink does,
// which got no more than the values.
func kernelLog(t *testing.T) (theirs, ours string, counts map[audit.Type]int) {
	t.Helper()
	dir := t.TempDir()
	theirs, ours = dir+"/theirs", dir+"/ours"
	sink := open(t, "file:"+ours, sink.Options{Generation: audit.Linux6_12})
	counts = map[audit.Type]int{}
	var lines strings.Builder
	for _, c := range conformance.AuditCases() {
		_, rest, ok := strings.Cut(string(c.Line), "audit: type=")
		if c.Want != "OK" || !ok || !strings.HasPrefix(c.ID, "live/") {
			continue
		}
		number, message, _ := strings.Cut(rest, " ")
		h, r, err := audit.Parse(string(c.Line))
		if err != nil {
			t.Fatal(err)
		}
		name := "UNKNOWN[" + number + "]"
		if r.Type() == audit.TypeStatus {
			name = "MAC_STATUS"
		}
		fmt.Fprintf(&lines, "type=%s msg=%s\n", name, message)
		sink.Put(trail.Entry{Header: h, Record: r})
		counts[r.Type()]++
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(theirs, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return theirs, ours, counts
}

// TestPeerAusearch: auditd's tools find and read our records as they do the kernel's.
func TestPeerAusearch(t *testing.T) {
	a := newTools(t)
	theirs, ours, counts := kernelLog(t)
	for typ, n := range counts {
		for _, how := range [][]string{{}, {"-i"}, {"-r"}, {"--format", "csv"}, {"--format", "text"}} {
			args := append([]string{"-m", fmt.Sprint(uint16(typ))}, how...)
			want, got := a.run(t, "ausearch", theirs, args...), a.run(t, "ausearch", ours, args...)
			if want != got {
				t.Errorf("ausearch %v:\n%s\nof ours:\n%s", args, want, got)
			}
			if found := strings.Count(got, "msg=audit("); len(how) == 0 && found != n {
				t.Errorf("ausearch %v finds %d records, want %d", args, found, n)
			}
		}
	}
	if len(counts) != 4 {
		t.Errorf("types %v, want all four", counts)
	}
	for _, report := range []string{"--summary", "--mac", "--event", "--config"} {
		if want, got := a.run(t, "aureport", theirs, report), a.run(t, "aureport", ours, report); want != got {
			t.Errorf("aureport %s:\n%s\nof ours:\n%s", report, want, got)
		}
	}
}

// TestPeerAusearchInterprets: ausearch takes out the fields that we put in.
func TestPeerAusearchInterprets(t *testing.T) {
	a := newTools(t)
	path := t.TempDir() + "/log"
	s := open(t, "file:"+path, sink.Options{Generation: audit.Newest})
	s.Put(access(1))
	s.Put(entry(2, audit.PolicyLoad{Errno: 126, Subject: audit.Subject{AUID: 0, Session: audit.Unset}}))
	merged := access(3)
	merged.Decision.Merged = 41
	s.Put(merged)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got := a.run(t, "ausearch", path, "-m", "1420", "-i")
	for _, want := range []string{"ipe_op=EXECUTE ipe_hook=BPRM_CHECK enforcing=0 pid=7 comm=sh path=/a b ", `dev="dm-0" ino=5 rule="DEFAULT action=DENY"`, "11/23/26 17:12:50.487:1"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if n := strings.Count(got, "msg=audit("); n != 1 {
		t.Errorf("%d decisions, want 1: a count is none\n%s", n, got)
	}
	got = a.run(t, "ausearch", path, "-m", "TRUSTED_APP", "-i")
	for _, want := range []string{"ipe_merged=41", "ipe_type=1420 ipe_op=EXECUTE", ":3) "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	got = a.run(t, "ausearch", path, "-m", "1422", "-i")
	for _, want := range []string{"auid=root ses=unset", "res=no errno=-126"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
