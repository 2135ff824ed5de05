package profiles_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/control/profiles"
	"github.com/ipe-linux/ipe/internal/control/store/storetest"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/internal/profile"
)

func flagged(base profile.Base, rules ...string) profiles.Flags {
	return profiles.Flags{Base: base, Rules: rules}
}

// TestOneFile: one file that is damaged or missing, whichever it is, costs nothing but a
// problem.
func TestOneFile(t *testing.T) {
	for _, spoil := range []func(*machine, string) error{(*machine).spoil, (*machine).remove} {
		for _, file := range []string{"index", "copy", "policies/*"} {
			m := newMachine(t)
			ok(t, m.start().load(m.signed("site", "1.0.0", "strict")))
			ok(t, spoil(m, file))
			r := m.start()
			m.wantIn(file, want(t, "strict"))
			wantProblem(t, file, r, "directory of profiles: ")
			wantErrno(t, file, r.load(m.signed("site", "0.9.0", "compat")), unix.ESTALE)
			ok(t, r.load(m.signed("site", "1.0.1", "strict")))
		}
	}
}

func (m *machine) remove(pattern string) (err error) {
	found, err := filepath.Glob(m.path(pattern))
	for _, f := range found {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}

// TestLost: where more is lost, the strict side holds, without exceptions, and says so.
func TestLost(t *testing.T) {
	for name, tt := range map[string]struct {
		flag  profile.Base
		base  string
		spoil func(*machine) error
		want  engine.Profile
	}{
		"message":               {profile.Compat, "compat", func(m *machine) error { return errors.Join(m.spoil("policies/*"), m.spoil("copy")) }, engine.Strict()},
		"state":                 {profile.Compat, "compat", func(m *machine) error { return errors.Join(m.spoil("index"), m.spoil("copy")) }, engine.Strict()},
		"both files":            {profile.Compat, "strict", func(m *machine) error { return errors.Join(m.remove("index"), m.remove("copy")) }, engine.Strict()},
		"a file in its place":   {profile.Compat, "compat", (*machine).block, engine.Strict()},
		"trust":                 {profile.Compat, "compat", (*machine).distrust, engine.Profile{}},
		"trust, strict base":    {profile.Compat, "strict", (*machine).distrust, engine.Strict()},
		"trust, strict by flag": {profile.Strict, "compat", (*machine).distrust, engine.Strict()},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.flags = flagged(tt.flag)
			ok(t, m.start().load(m.signed("site", "1.0.0", tt.base)))
			m.stop()
			ok(t, tt.spoil(m))
			r := m.start()
			m.wantIn("started", tt.want)
			wantProblem(t, "started", r, "profile: ")
			if !r.Any() {
				t.Error("the engine is chosen as if no profile had been loaded")
			}
			m.trust = m.signer
			if name == "a file in its place" {
				wantErrno(t, "no directory", r.load(m.signed("site", "1.0.1", tt.base)), unix.ENOTDIR)
				return
			}
			ok(t, r.load(m.signed("site", "1.0.1", tt.base)))
			m.wantIn("loaded anew", want(t, tt.base))
		})
	}
}

// block puts a file where the directory was.
func (m *machine) block() error {
	return errors.Join(os.RemoveAll(m.path("")), os.WriteFile(filepath.Clean(m.path("")), nil, 0o600))
}

// distrust takes the signer's certificate away.
func (m *machine) distrust() error {
	m.trust = controltest.NewSigner(m.tb, "stranger")
	return nil
}

// TestTrust: a certificate that goes stops nothing until the next start, and one that comes
// back brings the profile back.
func TestTrust(t *testing.T) {
	m := newMachine(t)
	r := m.start()
	ok(t, r.load(m.signed("site", "1.0.0", "strict")))
	ok(t, m.distrust())
	for range 2 {
		wantErrno(t, "withdrawn", r.Reverify(), unix.EKEYREJECTED)
		m.wantIn("withdrawn", want(t, "strict"))
		wantProblem(t, "withdrawn", r, "it stays in force until iped starts anew")
	}
	r = m.start()
	m.wantIn("started anew", engine.Strict())
	wantProblem(t, "started anew", r, "without exceptions")
	wantErrno(t, "still withdrawn", r.Reverify(), unix.EKEYREJECTED)
	m.trust = m.signer
	m.engine.BeforeProfile = func(engine.Profile) error { return errno.New(unix.E2BIG, "no room") }
	wantErrno(t, "the engine refuses", r.Reverify(), unix.E2BIG)
	m.wantIn("the engine refuses", engine.Strict())
	m.engine.BeforeProfile = nil
	ok(t, r.Reverify())
	m.wantIn("trusted again", want(t, "strict"))
	wantProblem(t, "trusted again", r, "")
}

// loads are all ways in which a load changes what loaded1 has left.
var loads = map[string]struct{ name, version string }{
	"newer":      {"site", "2.0.0"},
	"other name": {"other", "2.0.0"},
	"back":       {"gone", "2.0.0"},
}

// loaded1 makes a machine with a profile, on which there was another before.
func loaded1(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t)
	r := m.start()
	ok(t, r.load(m.signed("gone", "1.0.0", "compat")))
	ok(t, r.load(m.signed("site", "1.0.0", "strict")))
	m.stop()
	return m
}

// TestCrash kills the daemon, or the power, at each step of a load. The next start has the
// old profile or the new one, in the kernel as on disk, and the new one if the load was
// acknowledged.
func TestCrash(t *testing.T) {
	for name, next := range loads {
		t.Run(name, func(t *testing.T) {
			for _, keep := range []storetest.Keep{storetest.KeepNothing, storetest.KeepAll} {
				for step, done := 1, false; !done; step++ {
					m := loaded1(t)
					disk := storetest.CrashAt(step)
					m.disk = disk
					err := m.start().load(m.signed(next.name, next.version, "compat"))
					m.stop()
					disk.PowerCut(t, keep)
					m.disk = storetest.Healthy()
					r := m.start()
					p, perr := r.Profile()
					switch {
					case perr != nil:
						t.Errorf("step %d: %v", step, perr)
					case p.Name == next.name && p.Version == next.version:
						m.wantIn(name, want(t, "compat"))
					case err == nil || p.Name != "site":
						t.Errorf("step %d: load says %v, a restart has %s %s", step, err, p.Name, p.Version)
					default:
						m.wantIn(name, want(t, "strict"))
					}
					wantProblemOrNone(t, r)
					done = !disk.Faulted()
				}
			}
		})
	}
}

// wantProblemOrNone wants the profile itself to be well, whatever the disk left behind.
func wantProblemOrNone(t *testing.T, r running) {
	t.Helper()
	if p := r.status().Profile; p == nil || p.Error != "" {
		t.Errorf("status has %+v", p)
	}
}

// TestDiskFails: at whatever step the disk fails, kernel and daemon agree, and a load that
// was refused has changed neither.
func TestDiskFails(t *testing.T) {
	for name, next := range loads {
		for step, done := 1, false; !done; step++ {
			m := loaded1(t)
			disk := storetest.FailAt(step)
			m.disk = disk
			r := m.start()
			err := r.load(m.signed(next.name, next.version, "compat"))
			p, perr := r.Profile()
			ok(t, perr)
			if err == nil {
				m.wantIn(name, want(t, "compat"))
			} else {
				m.wantIn(name, want(t, "strict"))
			}
			if err != nil && strings.Contains(err.Error(), "policy") {
				t.Errorf("%s, step %d: a profile is no policy: %v", name, step, err)
			}
			if (err == nil) != (p.Name == next.name && p.Version == next.version) {
				t.Errorf("%s, step %d: load says %v, and %s %s is shown", name, step, err, p.Name, p.Version)
			}
			m.stop()
			done = !disk.Faulted()
		}
	}
}

// TestKilledBetween: the engine has what was never acknowledged; the next start has what is
// stored.
func TestKilledBetween(t *testing.T) {
	m := newMachine(t)
	r := m.start()
	ok(t, r.load(m.signed("site", "1.0.0", "strict")))
	m.engine.AfterProfile = func() { panic("killed") }
	func() {
		defer func() { _ = recover() }()
		_ = r.load(m.signed("site", "2.0.0", "compat"))
	}()
	m.engine.AfterProfile = nil
	m.wantIn("killed", want(t, "compat"))
	r = m.start()
	m.wantIn("started anew", want(t, "strict"))
	ok(t, r.load(m.signed("site", "2.0.0", "compat"))) // no floor was raised
}

// TestNeitherWay: neither the store takes the new profile nor the engine the old one.
func TestNeitherWay(t *testing.T) {
	m := loaded1(t)
	m.disk = failing{storetest.Healthy()}
	r := m.start()
	m.engine.AfterProfile = func() {
		m.engine.BeforeProfile = func(engine.Profile) error { return errno.New(unix.E2BIG, "no room") }
	}
	next := m.signed("site", "2.0.0", "compat")
	if err := r.load(next); err == nil {
		t.Error("the store fails, and the load succeeds")
	}
	m.wantIn("neither way", want(t, "compat"))
	wantProblem(t, "neither way", r, "not kept")
	if p, err := r.Profile(); err != nil || p.Version != "2.0.0" {
		t.Errorf("%+v, %v", p, err)
	}
	if err := r.Reverify(); err == nil {
		t.Error("a reload forgets the problem")
	}
	m.disk, m.engine.AfterProfile, m.engine.BeforeProfile = storetest.Healthy(), nil, nil
	r = m.start()
	m.wantIn("started anew", want(t, "strict"))
	wantProblem(t, "started anew", r, "")
}

// failing is a disk that can be read.
type failing struct{ *storetest.Disk }

// Rename implements atomicfile.FS.
func (failing) Rename(string, string) error { return unix.ENOSPC }
