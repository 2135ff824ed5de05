package preflight

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
)

// surveyed is an engine that has seen these uses. Of files that are open for a question,
// it says what facts tells by their name.
type surveyed struct {
	uses  []engine.Use
	facts func(path string) eval.Evidence
	// hang makes it wait for ever.
	hang        bool
	err         error
	unavailable policy.KeySet
}

func (m *surveyed) Unavailable() policy.KeySet { return m.unavailable }

func (m *surveyed) PrepareSurvey() error { return nil }

func (m *surveyed) Survey(ctx context.Context, files []*os.File, fn func(engine.Use)) error {
	if m.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	for _, u := range m.uses {
		fn(u)
	}
	for i, f := range files {
		fn(engine.Use{Kind: engine.Open, PID: self, File: uint32(f.Fd()), HasFile: true, Minor: 1, Inode: 1000 + uint64(i), Evidence: m.facts(f.Name())})
	}
	return m.err
}

const self = 77

func parse(t *testing.T, statements ...string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte("policy_name=test policy_version=1.0.0\n" + strings.Join(statements, "\n") + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func sum(b byte) digest.Digest {
	return digest.New("sha256", []byte(strings.Repeat(string(rune(b)), 32)))
}

var (
	sealed   = eval.Evidence{FileDigest: sum('1')}
	other    = eval.Evidence{FileDigest: sum('2')}
	verified = eval.Evidence{BootVerified: true}
)

// mapped is a use of the file with that inode.
func mapped(pid uint32, comm string, inode uint64, ev eval.Evidence) engine.Use {
	return engine.Use{Kind: engine.Mapped, PID: pid, Comm: comm, HasFile: true, Minor: 1, Inode: inode, Evidence: ev}
}

func judge(t *testing.T, m *surveyed, programs []program, now, next *policy.Policy) api.Forecast {
	t.Helper()
	l := &Look{eng: m, programs: func() []program { return programs }, self: self, patience: time.Minute}
	f, err := l.Judge(now, next)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const (
	denyAll    = "DEFAULT action=DENY"
	allowAll   = "DEFAULT action=ALLOW"
	allowBoot  = "op=EXECUTE boot_verified=TRUE action=ALLOW"
	allowFirst = "op=EXECUTE fsverity_digest=sha256:3131313131313131313131313131313131313131313131313131313131313131 action=ALLOW"
)

// TestNewlyDenied: what counts is the difference between two policies.
func TestNewlyDenied(t *testing.T) {
	memory := engine.Use{Kind: engine.Mapped, PID: 9, Comm: "node"}
	uses := []engine.Use{
		mapped(5, "a", 1, sealed), mapped(5, "a", 2, other), mapped(5, "a", 3, verified), memory,
		{Kind: engine.Open, PID: self, File: 4, HasFile: true, Inode: 9}, // data that iped has open
	}
	for _, tt := range []struct {
		name      string
		now, next []string
		inodes    []uint64 // 0 for memory
	}{
		{"nothing is denied", nil, []string{allowAll}, nil},
		{"all is", nil, []string{denyAll}, []uint64{1, 2, 3, 0}},
		{"as before", []string{denyAll}, []string{denyAll}, nil},
		{"more than before", []string{denyAll, allowFirst, allowBoot}, []string{denyAll, allowBoot}, []uint64{1}},
		{"less than before", []string{denyAll}, []string{denyAll, allowBoot}, nil},
		{"memory by a rule of its own", nil, []string{allowAll, "op=EXECUTE boot_verified=FALSE action=DENY"}, []uint64{1, 2, 0}},
		{"another operation", nil, []string{allowAll, "DEFAULT op=KMODULE action=DENY"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var now *policy.Policy
			if tt.now != nil {
				now = parse(t, tt.now...)
			}
			var got []uint64
			f := judge(t, &surveyed{uses: uses}, nil, now, parse(t, tt.next...))
			for _, x := range f.Findings {
				if x.Memory != (x.Inode == 0) {
					t.Errorf("finding %+v", x)
				}
				got = append(got, x.Inode)
			}
			if diff := cmp.Diff(tt.inodes, got); diff != "" {
				t.Errorf("denied (-want +got):\n%s", diff)
			}
			if f.Files != 3 || f.Processes != 2 {
				t.Errorf("%d files, %d processes", f.Files, f.Processes)
			}
		})
	}
}

// TestUnavailable: a property that this kernel cannot provide holds in neither form.
func TestUnavailable(t *testing.T) {
	m := &surveyed{uses: []engine.Use{mapped(5, "a", 1, sealed)}, unavailable: policy.Keys(policy.FSVerityDigest)}
	if f := judge(t, m, nil, nil, parse(t, denyAll, allowFirst)); len(f.Findings) != 1 {
		t.Errorf("%+v", f)
	}
}

// TestOrder: first what could not be undone, then what most processes use; one finding
// a file, with the processes that have it.
func TestOrder(t *testing.T) {
	dir := t.TempDir()
	shell := filepath.Join(dir, "shell")
	if err := os.WriteFile(shell, []byte("#!/no/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	m := &surveyed{facts: func(string) eval.Evidence { return eval.Evidence{} }}
	for pid := range uint32(40) {
		m.uses = append(m.uses, mapped(100+pid, "many", 10, other), mapped(100+pid, "many", 10, other))
	}
	m.uses = append(m.uses, mapped(200, "few", 11, other), mapped(self, "iped", 12, other), mapped(1, "init", 13, other), mapped(self, "iped", 13, other))
	programs := []program{at(shell, roleShell), at(filepath.Join(dir, "not there"), roleLogin)}
	f := judge(t, m, programs, nil, parse(t, denyAll))
	type short struct {
		Inode uint64
		Roles []string
		Users int
	}
	var got []short
	for _, x := range f.Findings {
		got = append(got, short{x.Inode, x.Roles, x.Users})
	}
	want := []short{
		{13, []string{roleInit, roleIped}, 2}, {12, []string{roleIped}, 1}, {1000, []string{roleShell}, 0},
		{10, []string{}, 40}, {11, []string{}, 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if x := f.Findings[2]; x.Path != shell || x.Rule != "DEFAULT action=DENY" || x.Device != "0:1" {
		t.Errorf("shell: %+v", x)
	}
	if n := len(f.Findings[3].Processes); n != maxProcesses {
		t.Errorf("%d processes are named", n)
	}
}

// TestReplaced: of a file that an upgrade has taken the name from, what is there now
// counts; if nothing is, or something on another device, the file itself does.
func TestReplaced(t *testing.T) {
	dir := t.TempDir()
	library := filepath.Join(dir, "library")
	if err := os.WriteFile(library, []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	lost := mapped(5, "a", 1, other)
	lost.Unlinked = true
	for _, tt := range []struct {
		name   string
		path   string
		facts  eval.Evidence
		minor  uint32
		denied int
	}{
		{"by one that is allowed", library + " (deleted)", sealed, 1, 0},
		{"by one that is not", library + " (deleted)", other, 1, 1},
		{"on another device", library + " (deleted)", sealed, 2, 1},
		{"by nothing", filepath.Join(dir, "gone") + " (deleted)", sealed, 1, 1},
		{"memory with a name", "/memfd:x (deleted)", sealed, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &surveyed{facts: func(string) eval.Evidence { return tt.facts }}
			l := &Look{eng: m, self: self, patience: time.Minute}
			use := lost
			use.Minor = tt.minor
			d := &code{use: use, path: tt.path}
			q := question{next: parse(t, denyAll, allowFirst)}
			if err := l.replaced(t.Context(), q, []*code{d}); err != nil {
				t.Fatal(err)
			}
			if f := q.forecast([]*code{d}); len(f.Findings) != tt.denied {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestBounded: a forecast has an end.
func TestBounded(t *testing.T) {
	m := &surveyed{}
	for i := range uint64(maxFindings + 5) {
		m.uses = append(m.uses, mapped(5, "a", i+1, other))
	}
	f := judge(t, m, nil, nil, parse(t, denyAll))
	if len(f.Findings) != maxFindings || f.Omitted != 5 || f.Denied() != maxFindings+5 {
		t.Errorf("%d findings, %d omitted", len(f.Findings), f.Omitted)
	}
}

// TestCannotLook: what cannot be looked at is not called harmless.
func TestCannotLook(t *testing.T) {
	broken := errors.New("broken")
	l := &Look{eng: &surveyed{err: broken}, programs: func() []program { return nil }, self: self, patience: time.Minute}
	if f, err := l.Judge(nil, parse(t, allowAll)); !errors.Is(err, broken) {
		t.Errorf("%+v, %v", f, err)
	}
	l.eng, l.patience = &surveyed{hang: true}, time.Millisecond
	if f, err := l.Judge(nil, parse(t, allowAll)); err == nil {
		t.Errorf("%+v, %v", f, err)
	}
}
