package profiles

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/internal/plain"
)

// problemLoaded is the key of the problem with the loaded profile.
const problemLoaded = "profile"

// LoadProfile puts a signed profile in the place of the loaded one. Errors, in the order of
// the checks: api.ErrNoProfiler, those of package sign and of profile.Parse,
// api.ErrProfileNotNewer, api.ErrProfileOlder, api.ErrProfileStale, and the engine's and the
// store's, after which the loaded profile is what it was.
func (p *Profiles) LoadProfile(who audit.Subject, envelope []byte) (info api.Profile, err error) {
	p.control.Changing(func() {
		var l *loaded
		if l, err = p.load(envelope); err != nil {
			p.log.tell(slog.LevelWarn, kindRefused, "profile refused", "auid", who.AUID, "errno", errno.Symbol(err), "error", err)
			err = fmt.Errorf("load profile: %w", err)
			return
		}
		info = p.infoOf(l)
		p.control.SetProblem(problemLoaded, nil)
		p.log.tell(levelNotice, kindLoaded, "profile loaded", "profile_name", l.name, "profile_version", l.version.String(), "profile_digest", "sha256:"+info.SHA256,
			"base", info.Base, "exceptions", info.Exceptions, "signers", l.signers, "auid", who.AUID)
	})
	return info, err
}

func (p *Profiles) load(envelope []byte) (*loaded, error) {
	if p.eng == nil {
		return nil, api.ErrNoProfiler
	}
	l, err := p.verified(envelope)
	if err != nil {
		return nil, err
	}
	s, err := p.disk()
	if err != nil {
		return nil, err
	}
	if err := p.admit(s, l); err != nil {
		return nil, fmt.Errorf("profile %s %s: %w", plain.Name(l.name), l.version, err)
	}
	asked := p.asks(l)
	if err := p.tell(asked); err != nil {
		return nil, err
	}
	if err := keep(s, l); err != nil {
		return nil, p.undo(l, asked, err)
	}
	l.inForce = true
	p.became(l, asked)
	tidy(s, l.name)
	return l, nil
}

// admit refuses what is too old, by the rules for policies: an update is newer than what it
// replaces, another name is not older than what decides, and no floor is undercut.
func (p *Profiles) admit(s *store.Store, l *loaded) error {
	old := p.now()
	switch {
	case old == nil, old.err != nil && old.id == l.id: // the latter is how to mend it
	case old.name == l.name && old.profile != nil && l.version.Compare(old.version) <= 0:
		return fmt.Errorf("loaded is %s: %w", old.version, api.ErrProfileNotNewer)
	case old.name != "" && old.name != l.name && l.version.Compare(old.version) < 0:
		return fmt.Errorf("loaded is %s %s: %w", plain.Name(old.name), old.version, api.ErrProfileOlder)
	}
	if floor, ok := s.Floor(l.name); ok && l.version.Compare(floor) < 0 {
		return fmt.Errorf("floor %s: %w", floor, api.ErrProfileStale)
	}
	return nil
}

// tell has the engine ask, or ask what it did.
func (p *Profiles) tell(asked engine.Profile) error {
	p.control.Turn()
	if err := p.eng.SetProfile(asked); err != nil {
		return errors.Join(fmt.Errorf("engine: %w", err), p.back())
	}
	return nil
}

// back has the engine ask what it was told before. If it cannot, it asks nothing weaker,
// which is a problem all the same: nobody can say what it does.
func (p *Profiles) back() error {
	p.control.Turn()
	if err := p.eng.SetProfile(p.Asked()); err != nil {
		err = fmt.Errorf("go back to what was asked before: engine: %w", err)
		p.control.SetProblem(problemLoaded, err)
		return err
	}
	return nil
}

// undo goes back from what the store has not taken because of err.
func (p *Profiles) undo(l *loaded, asked engine.Profile, err error) error {
	if berr := p.back(); berr != nil {
		l.inForce, l.err = true, fmt.Errorf("not kept: %w", errors.Join(err, berr))
		p.became(l, asked)
		p.control.SetProblem(problemLoaded, l.problem())
		return fmt.Errorf("profile %s %s is in force, but only until the next start: %w", plain.Name(l.name), l.version, l.err)
	}
	return fmt.Errorf("profile %s %s cannot be kept, so what was in force stays: %w", plain.Name(l.name), l.version, err)
}

// keep makes l the stored profile that is to be in force, which raises the floor of its
// name. One step of the disk decides; a policy of another name becomes it after it is there.
func keep(s *store.Store, l *loaded) error {
	_, there := s.Item(l.name)
	if there {
		if err := s.Replace(l.entry()); err != nil {
			return err
		}
	} else if err := s.Put(l.entry()); err != nil {
		return err
	}
	if active, _ := s.Active(); active == l.name {
		return nil
	}
	err := s.SetActive(l.name)
	if err != nil && !there {
		return errors.Join(err, s.Delete(l.name))
	}
	return err
}

// tidy forgets profiles that others have replaced; their floors stay. What remains does no
// harm, and goes with the next load.
func tidy(s *store.Store, name string) {
	for _, item := range s.List() {
		if item.Name != name {
			_ = s.Delete(item.Name)
		}
	}
}
