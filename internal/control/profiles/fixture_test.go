package profiles_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/atomicfile"
	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/control/profiles"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/control/store/storetest"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/internal/profile"
	"github.com/ipe-linux/ipe/internal/strict"
)

// machine is what outlives the daemon.
type machine struct {
	tb     testing.TB
	state  string
	engine *controltest.Engine
	// other, if there is one, is in the place of engine.
	other  engine.Engine
	signer *controltest.Signer
	trust  *controltest.Signer
	flags  profiles.Flags
	disk   atomicfile.FS
	log    *controltest.Log

	store    *store.Store
	profiles *profiles.Profiles
}

func newMachine(tb testing.TB) *machine {
	signer := controltest.NewSigner(tb, "owner")
	m := &machine{tb: tb, state: filepath.Join(tb.TempDir(), "state"), engine: controltest.NewEngine(), signer: signer, trust: signer, log: &controltest.Log{}, disk: storetest.Healthy()}
	tb.Cleanup(m.stop)
	return m
}

// running is a daemon.
type running struct {
	*profiles.Profiles
	control *control.Control
}

// start runs a new daemon on the machine, in the order of iped.
func (m *machine) start() running {
	m.tb.Helper()
	m.stop()
	var err error
	if m.store, err = store.OpenOn(storetest.Healthy(), m.state); err != nil {
		m.tb.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(m.log, nil))
	m.profiles = profiles.Open(profiles.Config{State: m.state, Flags: m.flags, Log: log, Disk: m.disk,
		Verify: func(message []byte) (control.Verified, error) {
			return control.Certificates(m.trust.Keyring()).Verify(message)
		}})
	eng := m.other
	if eng == nil {
		asked := m.profiles.Asked()
		m.engine.Change(func(s *engine.State) { s.Profile = asked })
		eng = m.engine
	}
	c := control.New(control.Config{Store: m.store, Verifier: control.Certificates(m.signer.Keyring()), Engine: eng, Log: log})
	m.profiles.Attach(c, eng)
	_ = c.Start() // Status shows it
	return running{m.profiles, c}
}

// stop lets go of what a killed process would have lost.
func (m *machine) stop() {
	if m.store != nil {
		m.profiles.Close()
		m.store.Close()
		m.store = nil
	}
}

func (m *machine) path(name string) string { return filepath.Join(m.state, store.ProfilesName, name) }

// in is what the kernel holds.
func (m *machine) in() engine.Profile {
	st, err := m.engine.State()
	if err != nil {
		m.tb.Fatal(err)
	}
	return st.Profile
}

const digestText = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

// text is a profile with one exception.
func text(name, version, base string) string {
	return fmt.Sprintf("profile_name=%s profile_version=%s base=%s\nanon_exec fsverity_digest=%s\n", name, version, base, digestText)
}

func (m *machine) signed(name, version, base string) []byte {
	return m.signer.Sign(m.tb, text(name, version, base))
}

// want is what such a profile asks.
func want(tb testing.TB, base string) engine.Profile {
	tb.Helper()
	parsed, err := profile.Parse([]byte(text("x", "1.0.0", base)))
	if err != nil {
		tb.Fatal(err)
	}
	p := engine.Profile{Exceptions: parsed.Exceptions}
	if base == api.ProfileStrict {
		p.HonestFacts, p.Rules = true, strict.Enforced()
	}
	return p
}

func (m *machine) wantIn(when string, p engine.Profile) {
	m.tb.Helper()
	if diff := cmp.Diff(p, m.in(), cmp.Comparer(func(a, b profile.Identity) bool { return a == b })); diff != "" {
		m.tb.Errorf("%s: the kernel holds (-want +got):\n%s", when, diff)
	}
}

// load loads, as nobody.
func (r running) load(message []byte) error {
	_, err := r.LoadProfile(audit.Nobody(), message)
	return err
}

func (r running) status() api.Status { return r.Complete(r.control.Status()) }

func wantErrno(tb testing.TB, what string, err error, number unix.Errno) {
	tb.Helper()
	if got := errno.Of(err); got != number {
		tb.Errorf("%s: %v (%v), want %s", what, unix.ErrnoName(got), err, unix.ErrnoName(number))
	}
}

// wantProblem wants one problem with the words; none for "".
func wantProblem(tb testing.TB, when string, r running, words string) {
	tb.Helper()
	all := strings.Join(r.status().Problems, "\n")
	if words == "" && all != "" || !strings.Contains(all, words) {
		tb.Errorf("%s: problems are %q, want %q", when, all, words)
	}
}

func ok(tb testing.TB, errs ...error) {
	tb.Helper()
	if err := errors.Join(errs...); err != nil {
		tb.Fatal(err)
	}
}

// files are those of the directory with their content.
func (m *machine) files() map[string]string {
	m.tb.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*", "policies/*"} {
		found, err := filepath.Glob(m.path(pattern))
		ok(m.tb, err)
		for _, f := range found {
			if b, err := os.ReadFile(f); err == nil {
				all[f] = string(b)
			}
		}
	}
	return all
}
