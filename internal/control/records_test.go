package control_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/trail"
)

// sink keeps the records as lines of a kernel log.
type sink struct {
	mu  sync.Mutex
	all []string
}

func (s *sink) Put(e trail.Entry) {
	if e.Record == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, string(audit.Newest.AppendKernelLog(nil, e.Header, e.Record)))
}

func (*sink) Status() api.SinkStatus {
	return api.SinkStatus{Name: "test", Written: 1, Lost: 2}
}

func (s *sink) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.all...)
}

// take returns what came since, without times, and with short digests.
func (s *sink) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, line := range s.all {
		line = regexp.MustCompile(`audit\([0-9.]+:`).ReplaceAllString(line, "(")
		all = append(all, strings.TrimPrefix(line, "audit: "))
	}
	s.all = nil
	return all
}

// TestRecords: the session of the specification, with what a kernel records of it.
func TestRecords(t *testing.T) {
	m := newMachine(t)
	m.boot = text("boot", "0.0.0")
	s := &sink{}
	m.sinks = []trail.Sink{s}
	c := m.started()
	alice := c.By(audit.Subject{AUID: 1000, Session: 3})
	place := func(name string) control.Place {
		p, err := c.Place(name)
		if err != nil {
			t.Fatal(err)
		}
		return p.By(audit.Subject{AUID: 1001, Session: 4})
	}
	id := func(version string, envelope []byte) string {
		info, err := control.Certificates(m.signer.Keyring()).Verify(envelope)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`"site" V=%s D=sha256:%X`, version, info.SHA256)
	}
	v1, v2, stranger := m.signed("site", "1.0.0"), m.signed("site", "1.0.1"), newMachine(t).signed("site", "3.0.0")
	one, two := id("1.0.0", v1), id("1.0.1", v2)
	boot := `"boot" V=0.0.0 D=sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855`
	const byAlice, byBob, byNobody = "auid=1000 ses=3", "auid=1001 ses=4", "auid=4294967295 ses=4294967295"
	load := func(id, who string) string {
		return "type=1422 (N): " + strings.NewReplacer(`"site"`, `policy_name="site"`, "V=", "policy_version=", "D=", "policy_digest=").Replace(id) +
			" " + who + " lsm=ipe res=1 errno=0"
	}
	failed := func(errno int, who string) string {
		return fmt.Sprintf("type=1422 (N): policy_name=? policy_version=? policy_digest=? %s lsm=ipe res=0 errno=-%d", who, errno)
	}
	part := func(prefix, id string) string {
		return prefix + "_active_pol_name=" + strings.NewReplacer("V=", prefix+"_active_pol_version=", "D=", prefix+"_policy_digest=").Replace(id)
	}
	change := func(from, to, who string) string {
		return "type=1421 (N): " + part("old", from) + " " + part("new", to) + " " + who + " lsm=ipe res=1"
	}
	status := func(on, old int, who string) string {
		return fmt.Sprintf("type=1404 (N): enforcing=%d old_enforcing=%d %s enabled=1 old-enabled=1 lsm=ipe res=1", on, old, who)
	}
	yes, no := true, false
	for _, step := range []struct {
		name string
		do   func() error
		want []string
	}{
		{"start with a boot policy", func() error { return nil }, nil},
		{"load", func() error { _, err := alice.Load(v1); return err }, []string{load(one, byAlice)}},
		{"load again", func() error { _, err := alice.Load(v1); return err }, []string{failed(17, byAlice)}},
		{"activate", func() error { return place("site").Activate() }, []string{change(boot, one, byBob)}},
		{"activate again", func() error { return place("site").Activate() }, nil},
		{"activate an older one", func() error { return alice.Activate("boot") }, nil},
		{"delete the active one", func() error { return place("site").Delete() }, nil},
		{"delete", func() error { return place("boot").Delete() }, nil},
		{"update to the same", func() error { _, err := place("site").Update(v1); return err }, []string{failed(116, byBob)}},
		{"update by another name", func() error { _, err := alice.Update("site", m.signed("other", "2.0.0")); return err }, []string{failed(22, byAlice)}},
		{"update", func() error { _, err := place("site").Update(v2); return err }, []string{load(two, byBob), change(one, two, byBob)}},
		{"no message", func() error { _, err := alice.Load([]byte("text")); return err }, []string{failed(74, byAlice)}},
		{"a stranger's", func() error { _, err := c.Load(stranger); return err }, []string{failed(129, byNobody)}},
		{"update of what is not there", func() error { _, err := alice.Update("gone", v1); return err }, []string{failed(2, byAlice)}},
		{"no rights", func() error { alice.RefuseLoad(api.ErrPrivilege); return nil }, []string{failed(1, byAlice)}},
		{"permissive", func() error { return alice.SetEnforce(false) }, []string{status(0, 1, byAlice), "type=1404 (N): "}},
		{"permissive again", func() error { return alice.SetEnforce(false) }, nil},
		{"success audit", func() error { return alice.SetSuccessAudit(true) }, nil},
		{"both", func() error {
			_, err := alice.ChangeMode(api.ModeChange{Enforce: &yes, SuccessAudit: &no})
			return err
		}, []string{status(1, 0, byAlice), "type=1404 (N): "}},
	} {
		s.take()
		err := step.do()
		var got []string
		for _, line := range s.take() {
			got = append(got, regexp.MustCompile(`\([0-9]+\)`).ReplaceAllString(line, "(N)"))
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (%v) (-want +got):\n%s", step.name, err, diff)
		}
	}
}

// TestRecordOrder: serials count, and the empty record of a switch has the one before.
func TestRecordOrder(t *testing.T) {
	m := newMachine(t)
	s := &sink{}
	m.sinks = []trail.Sink{s}
	c := m.started()
	if _, err := c.Load(m.signed("site", "1.0.0")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Activate("site"), c.SetEnforce(false)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range s.take() {
		got = append(got, strings.SplitAfterN(line, ")", 2)[0])
	}
	want := []string{"type=1422 (1)", "type=1421 (2)", "type=1404 (4)", "type=1404 (3)"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// The next daemon of a machine whose kernel has lost the policy activates it anew.
	m.engine.ModeErr = nil
	m.start()
	if got := s.take(); len(got) != 0 {
		t.Errorf("an adopted policy was recorded: %q", got)
	}
}

// TestRecordOfSwitchThatFails is recorded as undone, since it is recorded before.
func TestRecordOfSwitchThatFails(t *testing.T) {
	m := newMachine(t)
	s := &sink{}
	m.sinks = []trail.Sink{s}
	c := m.started()
	m.engine.ModeErr = unix.ENOMEM
	if err := c.setMode(api.Mode{}); err == nil {
		t.Error("no error")
	}
	var enforcing []string
	for _, line := range s.take() {
		if _, rest, ok := strings.Cut(line, "enforcing="); ok {
			enforcing = append(enforcing, rest[:1])
		}
	}
	if strings.Join(enforcing, " ") != "0 1" {
		t.Errorf("recorded enforcing=%v, want 0, then 1", enforcing)
	}
}
