//go:build !guest

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/control/profiles"
	"github.com/ipe-linux/ipe/internal/control/rpc/client"
	"github.com/ipe-linux/ipe/internal/engine"
)

// site is a profile with one exception.
func site(version, base string) string {
	return fmt.Sprintf("profile_name=site profile_version=%s base=%s\nanon_exec fsverity_digest=sha256:%064d\n", version, base, 1)
}

// profiled makes a machine with a policy and a profile, and returns how iped is to run there.
func profiled(t *testing.T, base string) (config, *controltest.Signer) {
	t.Helper()
	cfg := stored(t)
	signer := controltest.NewSigner(t, "profiles")
	cfg.trust = append(cfg.trust, filepath.Join(t.TempDir(), "profiles.der"))
	p := profiles.Open(profiles.Config{State: cfg.state, Verify: control.Certificates(signer.Keyring()).Verify, Log: slog.New(slog.DiscardHandler)})
	eng := controltest.NewEngine()
	p.Attach(control.New(control.Config{Engine: eng}), eng)
	_, err := p.LoadProfile(audit.Nobody(), signer.Sign(t, site("1.0.0", base)))
	err = errors.Join(err, p.Close(), os.WriteFile(cfg.trust[1], signer.Keyring().Certificates()[0].Raw, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return cfg, signer
}

// TestProfileBeforeEngine: an engine is opened with what the stored profile asks, or with the
// strict side of what can be said of it.
func TestProfileBeforeEngine(t *testing.T) {
	for name, tt := range map[string]struct {
		flag, base string
		untrusted  bool
		honest     bool
		exceptions int
	}{
		"compat wins":       {api.ProfileStrict, "compat", false, false, 1},
		"strict wins":       {api.ProfileCompat, "strict", false, true, 1},
		"untrusted, compat": {api.ProfileCompat, "compat", true, false, 0},
		"untrusted, strict": {api.ProfileCompat, "strict", true, true, 0},
		"untrusted, flag":   {api.ProfileStrict, "compat", true, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, _ := profiled(t, tt.base)
			cfg.profile = tt.flag
			if tt.untrusted {
				cfg.trust = cfg.trust[:1]
			}
			var asked engine.Profile
			var wished bool
			open := func(cfg config, _ *trusted, _ *slog.Logger) (opened, error) {
				asked, wished = cfg.profiles.Asked(), cfg.profiles.Any()
				return opened{controltest.NewEngine(), "the test has it"}, nil
			}
			log := newLogger(&controltest.Log{})
			start := beginStart(log)
			defer start.end()
			d, err := guard(cfg, open, start, log)
			if err != nil {
				t.Fatal(err)
			}
			defer d.close()
			if asked.HonestFacts != tt.honest || len(asked.Exceptions) != tt.exceptions || !wished {
				t.Errorf("opened with %+v", asked)
			}
			s := reloading{d.c, d.profiles, d}.Status()
			if problems := strings.Join(s.Problems, "\n"); strings.Contains(problems, "stored profile no longer verifies") != tt.untrusted || s.Profile == nil {
				t.Errorf("problems %q, profile %+v", problems, s.Profile)
			}
		})
	}
}

// TestProfileOnSocket: it is loaded over the socket, and a reload looks at its signer anew.
func TestProfileOnSocket(t *testing.T) {
	cfg, signer := profiled(t, "compat")
	eng := controltest.NewEngine()
	begun(t, cfg, opened{eng, "the test has it"})
	awaitStatus(t, cfg, func(s api.Status) bool { return s.Profile != nil && s.Profile.Version == "1.0.0" })
	c := client.New(cfg.socket)
	defer c.Close()
	ctx := context.Background()
	if _, err := c.LoadProfile(ctx, signer.Sign(t, site("2.0.0", "strict"))); err != nil {
		t.Fatal(err)
	}
	if st, err := eng.State(); err != nil || !st.Profile.HonestFacts {
		t.Errorf("the kernel holds %+v, %v", st.Profile, err)
	}
	if err := os.Remove(cfg.trust[1]); err != nil {
		t.Fatal(err)
	}
	stranger := controltest.NewSigner(t, "stranger").Keyring().Certificates()[0].Raw
	if err := os.WriteFile(cfg.trust[1], stranger, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Reload(ctx); err == nil || !strings.Contains(err.Error(), "stored profile no longer verifies") {
		t.Errorf("reload: %v", err)
	}
	s, err := c.Status(ctx)
	if err != nil || s.Profile.Error == "" || s.Kernel.Profile != api.ProfileStrict {
		t.Errorf("%+v, %v", s.Profile, err)
	}
}
