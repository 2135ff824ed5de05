package profiles_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/internal/profile"
	"github.com/ipe-linux/ipe/internal/strict"
)

// TestLoad: the kernel asks what the profile says, status and show tell, and a restart has
// it before the engine is opened.
func TestLoad(t *testing.T) {
	m := newMachine(t)
	r := m.start()
	if _, err := r.Profile(); !errors.Is(err, api.ErrNoProfile) {
		t.Errorf("show before the first: %v", err)
	}
	if _, err := os.Stat(m.path("")); !os.IsNotExist(err) {
		t.Errorf("a machine without profiles has a directory of them: %v", err)
	}
	info, err := r.LoadProfile(audit.Nobody(), m.signed("site", "1.2.3", "strict"))
	ok(t, err)
	if info.Name != "site" || info.Version != "1.2.3" || info.Base != "strict" || info.Exceptions != 1 || info.Overrides != "compat" || time.Since(info.Loaded) > time.Hour {
		t.Errorf("loaded %+v", info)
	}
	for _, when := range []string{"loaded", "started anew"} {
		m.wantIn(when, want(t, "strict"))
		s := r.status()
		if p := s.Profile; p == nil || p.Name != "site" || p.Text != "" || p.Error != "" || !cmp.Equal(p.Signers, []string{"CN=owner"}) {
			t.Errorf("%s: status has %+v", when, p)
		}
		wantProblem(t, when, r, "")
		if p, err := r.Profile(); err != nil || p.Text != text("site", "1.2.3", "strict") || time.Since(p.Loaded) > time.Hour {
			t.Errorf("%s: show has %+v, %v", when, p, err)
		}
		r = m.start()
	}
	log := m.log.String()
	if !strings.Contains(log, "profile_name=site profile_version=1.2.3") || !strings.Contains(log, "kind=profile-loaded") {
		t.Errorf("the log has\n%s", log)
	}
}

// TestVersions: the rules are those of policies.
func TestVersions(t *testing.T) {
	m := newMachine(t)
	r := m.start()
	for _, step := range []struct {
		name, version string
		want          error
	}{
		{"site", "1.5.0", nil},
		{"site", "1.5.0", api.ErrProfileNotNewer},
		{"site", "1.4.9", api.ErrProfileNotNewer},
		{"site", "1.6.0", nil},
		{"other", "1.5.9", api.ErrProfileOlder},
		{"other", "1.6.0", nil},
		{"site", "1.6.0", nil}, // as a policy that was active before
		{"other", "2.0.0", nil},
		{"site", "2.0.0", nil},
		{"other", "2.0.0", nil},
		{"other", "2.0.1", nil},
	} {
		err := r.load(m.signed(step.name, step.version, "compat"))
		if !errors.Is(err, step.want) {
			t.Errorf("%s %s: %v, want %v", step.name, step.version, err, step.want)
		}
		if step.want != nil && !strings.Contains(m.log.String(), "kind=refused") {
			t.Error("the log lacks the refusal")
		}
		r = m.start() // floors survive
	}
	wantProblem(t, "at the end", r, "")
}

// TestFloor: what is below a floor is refused, also when nobody knows any longer what was
// loaded above it.
func TestFloor(t *testing.T) {
	m := newMachine(t)
	r := m.start()
	ok(t, r.load(m.signed("site", "2.0.0", "compat")), m.spoil("policies/*"), m.spoil("copy"))
	r = m.start()
	wantErrno(t, "below the floor", r.load(m.signed("site", "1.9.9", "compat")), unix.ESTALE)
	ok(t, r.load(m.signed("site", "2.0.0", "compat")))
	m.wantIn("loaded anew", want(t, "compat"))
}

// spoil damages the files of the pattern.
func (m *machine) spoil(pattern string) (err error) {
	found, err := filepath.Glob(m.path(pattern))
	for _, f := range found {
		err = errors.Join(err, os.WriteFile(f, []byte("damage"), 0o600))
	}
	if len(found) == 0 {
		err = errors.Join(err, os.ErrNotExist)
	}
	return err
}

// TestRefusals: what cannot be loaded changes nothing.
func TestRefusals(t *testing.T) {
	m := newMachine(t)
	r := m.start()
	ok(t, r.load(m.signed("site", "1.0.0", "strict")))
	before := m.files()
	stranger := controltest.NewSigner(t, "stranger")
	for what, tt := range map[string]struct {
		message []byte
		want    unix.Errno
	}{
		"unsigned":         {[]byte(text("site", "2.0.0", "compat")), unix.EBADMSG},
		"nothing":          {nil, unix.EBADMSG},
		"a stranger":       {stranger.Sign(t, text("site", "2.0.0", "compat")), unix.ENOKEY},
		"a policy":         {m.signer.Sign(t, "policy_name=p policy_version=2.0.0\nDEFAULT action=ALLOW\n"), unix.EBADMSG},
		"an older version": {m.signed("site", "0.9.0", "compat"), unix.ESTALE},
		"the same":         {m.signed("site", "1.0.0", "strict"), unix.ESTALE},
	} {
		err := r.load(tt.message)
		wantErrno(t, what, err, tt.want)
		m.wantIn(what, want(t, "strict"))
		if diff := cmp.Diff(before, m.files()); diff != "" {
			t.Errorf("%s: changed (-before +after):\n%s", what, diff)
		}
		if e := api.NewError(err); what != "unsigned" && what != "nothing" && what != "a policy" && e.Hint() == "" {
			t.Errorf("%s: %v has no remedy", what, err)
		}
	}
	wantProblem(t, "after refusals", r, "")
}

// TestWithoutProfiler: an engine that takes no profile refuses one, and one that is stored
// is a problem.
func TestWithoutProfiler(t *testing.T) {
	m := newMachine(t)
	m.other = struct{ engine.Engine }{m.engine}
	err := m.start().load(m.signed("site", "1.0.0", "strict"))
	if !errors.Is(err, api.ErrNoProfiler) {
		t.Errorf("%v", err)
	}
	wantErrno(t, "no profiler", err, unix.EOPNOTSUPP)
	m.other = nil
	ok(t, m.start().load(m.signed("site", "1.0.0", "strict")))
	m.other = struct{ engine.Engine }{m.engine}
	r := m.start()
	wantProblem(t, "stored", r, api.ErrNoProfiler.Error())
	if p := r.status().Profile; p == nil || p.Error == "" {
		t.Errorf("status has %+v", p)
	}
	m.other = nil
	wantProblem(t, "an engine that does", m.start(), "")
}

// TestEngineRefuses: nothing is stored, and the engine is told again what it was told.
func TestEngineRefuses(t *testing.T) {
	m := newMachine(t)
	r := m.start()
	ok(t, r.load(m.signed("site", "1.0.0", "strict")))
	before := m.files()
	full := errno.New(unix.E2BIG, "no room")
	m.engine.BeforeProfile = func(p engine.Profile) error {
		if p.HonestFacts {
			return nil
		}
		m.engine.Change(func(s *engine.State) { s.Profile = engine.Strict() }) // half done
		return full
	}
	err := r.load(m.signed("site", "2.0.0", "compat"))
	wantErrno(t, "refused", err, unix.E2BIG)
	m.wantIn("refused", want(t, "strict"))
	if diff := cmp.Diff(before, m.files()); diff != "" {
		t.Errorf("changed (-before +after):\n%s", diff)
	}
	wantProblem(t, "refused", r, "")
	if p, _ := r.Profile(); p.Version != "1.0.0" {
		t.Errorf("shows %+v", p)
	}

	m.engine.BeforeProfile = func(engine.Profile) error { return full }
	wantErrno(t, "no way back", r.load(m.signed("site", "2.0.0", "compat")), unix.E2BIG)
	wantProblem(t, "no way back", r, "go back to what was asked before")
	m.engine.BeforeProfile = nil
	ok(t, r.load(m.signed("site", "2.0.0", "compat")))
	wantProblem(t, "mended", r, "")
}

// TestPrecedence: a profile's base takes the place of --profile, also if it is weaker, and
// --rule stays on top of both.
func TestPrecedence(t *testing.T) {
	switched := func(p engine.Profile) engine.Profile {
		p.Rules[strict.Ptrace] = strict.Monitor
		return p
	}
	for _, tt := range []struct {
		flag      profile.Base
		base      string
		overrides string
	}{
		{profile.Compat, "compat", ""}, {profile.Compat, "strict", "compat"},
		{profile.Strict, "compat", "strict"}, {profile.Strict, "strict", ""},
	} {
		m := newMachine(t)
		m.flags = flagged(tt.flag, "ptrace=monitor")
		r := m.start()
		none := switched(engine.Profile{})
		if tt.flag == profile.Strict {
			none = switched(engine.Strict())
		}
		m.wantIn("none loaded", none)
		ok(t, r.load(m.signed("site", "1.0.0", tt.base)))
		m.wantIn("loaded", switched(want(t, tt.base)))
		r = m.start()
		m.wantIn("started anew", switched(want(t, tt.base)))
		if p := r.status().Profile; p == nil || p.Overrides != tt.overrides {
			t.Errorf("flag %v, base %s: %+v", tt.flag, tt.base, p)
		}
	}
}

// TestConcurrency: of many loads at once the newest is what kernel and disk have.
func TestConcurrency(t *testing.T) {
	m := newMachine(t)
	r := m.start()
	var all sync.WaitGroup
	for _, version := range []string{"1.0.0", "2.0.0", "3.0.0", "4.0.0"} {
		strictly := m.signed("site", version, map[bool]string{false: "compat", true: "strict"}[version == "4.0.0"])
		all.Go(func() {
			if err := r.load(strictly); err != nil && errno.Of(err) != unix.ESTALE {
				t.Error(err)
			}
		})
		all.Go(func() { r.status(); _, _ = r.Profile(); _ = r.Reverify() })
	}
	all.Wait()
	for range 2 {
		m.wantIn("at the end", want(t, "strict"))
		if p, err := r.Profile(); err != nil || p.Version != "4.0.0" {
			t.Errorf("%+v, %v", p, err)
		}
		r = m.start()
	}
}

// TestKindsAreDocumented: people look for them in the journal.
func TestKindsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../doc/ipe-audit.5")
	ok(t, err)
	if !strings.Contains(string(page), "\n.It Cm profile-loaded\n") {
		t.Error("ipe-audit(5) lacks profile-loaded")
	}
}
