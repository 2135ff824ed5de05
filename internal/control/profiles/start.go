package profiles

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/internal/plain"
)

// Attach gives p an engine that was opened with what is Asked, and what governs it. It is
// called once, before anybody else asks p.
//
// What could not be verified is tried again: the kernel's keyrings may answer only now.
func (p *Profiles) Attach(c *control.Control, eng engine.Engine) {
	p.control = c
	p.eng, _ = eng.(engine.Profiler)
	for _, err := range p.diskProblems() {
		p.log.tell(slog.LevelError, kindProblem, "problem", "with", problemDisk, "errno", errno.Symbol(err), "error", err)
	}
	_ = p.reverify() // Status shows it
}

// Reverify verifies the stored profile anew, after other certificates have come to count.
// What is in force goes on: one that nobody trusted vouches for any longer is a problem,
// and counts as lost with the next start. One that is trusted again is in force again.
//
// Errors are those that Status shows from now on.
func (p *Profiles) Reverify() (err error) {
	p.control.Changing(func() { err = p.reverify() })
	return err
}

func (p *Profiles) reverify() error {
	old := p.now()
	if old == nil {
		return nil
	}
	now := *p.again(old)
	now.inForce = old.inForce && p.eng != nil
	asked := p.Asked()
	switch {
	case now.err == nil && p.eng == nil:
		now.err = api.ErrNoProfiler
	case now.err == nil && !now.inForce:
		if now.err = p.tell(p.asks(&now)); now.err == nil {
			now.inForce, asked = true, p.asks(&now)
		}
	}
	p.became(&now, asked)
	err := now.problem()
	p.control.SetProblem(problemLoaded, err)
	return err
}

// again is what is known of the stored profile now.
func (p *Profiles) again(old *loaded) *loaded {
	s, err := p.disk()
	if err != nil || old.name == "" {
		return old
	}
	if item, ok := s.Item(old.name); !ok || item.SHA256 != old.id {
		return old // it is in force, and could not be kept
	}
	return p.reopen(s, old.name)
}

// problem says what is wrong with l.
func (l *loaded) problem() error {
	switch {
	case l.err == nil:
		return nil
	case l.name == "" || errors.Is(l.err, api.ErrNoProfiler):
		return l.err
	case l.inForce:
		return fmt.Errorf("%s %s: %w; it stays in force until iped starts anew", plain.Name(l.name), l.version, l.err)
	}
	return fmt.Errorf("%s %s: %w; the stricter base holds, without exceptions, until it or a newer one is loaded", plain.Name(l.name), l.version, l.err)
}
