package profiles

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/sink/journal"
	"github.com/ipe-linux/ipe/internal/profile"
)

// problemDisk is where what is wrong with the store is.
const problemDisk = "directory of profiles"

// Profile returns the loaded profile with its text. Errors wrap api.ErrNoProfile.
func (p *Profiles) Profile() (api.Profile, error) {
	l := p.now()
	if l == nil {
		return api.Profile{}, api.ErrNoProfile
	}
	if l.name == "" {
		return api.Profile{}, fmt.Errorf("%w: %w", api.ErrNoProfile, l.err)
	}
	info := p.infoOf(l)
	info.Text = string(l.text)
	return info, nil
}

// Complete adds to a status what is known here.
func (p *Profiles) Complete(s api.Status) api.Status {
	if l := p.now(); l != nil && l.name != "" {
		info := p.infoOf(l)
		s.Profile = &info
	}
	for _, err := range p.diskProblems() {
		s.Problems = append(s.Problems, problemDisk+": "+strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return s
}

func (p *Profiles) diskProblems() []error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.store == nil {
		return nil
	}
	return p.store.Problems()
}

func (p *Profiles) infoOf(l *loaded) api.Profile {
	i := api.Profile{Name: l.name, Version: l.version.String(), SHA256: hex.EncodeToString(l.id[:]), Signers: append([]string{}, l.signers...), Loaded: l.at.UTC(), InForce: l.inForce}
	if l.err != nil {
		i.Error = l.err.Error()
	}
	if l.profile == nil {
		return i
	}
	i.Base, i.Exceptions = baseOnWire(l.profile.Base), len(l.profile.Exceptions)
	if flag := baseOnWire(p.cfg.Flags.Base); flag != i.Base {
		i.Overrides = flag
	}
	return i
}

func baseOnWire(b profile.Base) string {
	return map[profile.Base]string{profile.Compat: api.ProfileCompat, profile.Strict: api.ProfileStrict}[b]
}

// Kinds of what is told, as ipe-audit(5) lists them; the last two are control's, too.
const (
	kindLoaded  journal.Kind = "profile-loaded"
	kindRefused journal.Kind = "refused"
	kindProblem journal.Kind = "problem"
)

// levelNotice is for what an administrator changed.
const levelNotice = journal.LevelNotice

// teller is a log in which others look for kinds.
type teller struct{ *slog.Logger }

// tell logs something of a kind.
func (l teller) tell(level slog.Level, k journal.Kind, msg string, args ...any) {
	l.Log(context.Background(), level, msg, append(args, k.Attr())...)
}
