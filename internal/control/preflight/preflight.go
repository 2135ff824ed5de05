// Package preflight tells what a policy would newly deny before it does: of the code
// that processes have in memory now, and of the programs without which nobody could
// undo it, init, ipe and iped, shells and logins, with their interpreters and the
// libraries that they name.
//
// The facts are those by which the engine would decide, as it says itself; the verdicts
// are those of package eval. What is not running, is not such a program and is not
// named by one, is not looked at.
package preflight

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
)

// patience bounds one look: something that hangs must not keep a change waiting. It is
// less than ipe waits for an answer.
const patience = 10 * time.Second

var errPatience = errors.New("it took too long: a file system or a process hangs")

// Look judges on a live machine. It implements [control.Preflight].
type Look struct {
	eng      surveyor
	programs func() []program
	self     uint32
	patience time.Duration
}

type surveyor interface {
	engine.Surveyor
	Unavailable() policy.KeySet
}

// New returns a preflight by eng, nil if that cannot look.
func New(eng engine.Engine) control.Preflight {
	s, ok := eng.(surveyor)
	if !ok {
		return nil
	}
	return &Look{eng: s, programs: programs, self: uint32(os.Getpid()), patience: patience}
}

// Judge implements [control.Preflight].
func (l *Look) Judge(now, next *policy.Policy) (api.Forecast, error) {
	if err := l.eng.PrepareSurvey(); err != nil {
		return api.Forecast{}, err
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), l.patience, errPatience)
	defer cancel()
	type outcome struct {
		forecast api.Forecast
		err      error
	}
	done := make(chan outcome, 1)
	go func() {
		f, err := l.judge(ctx, now, next)
		done <- outcome{f, err}
	}()
	select {
	case o := <-done:
		return o.forecast, o.err
	case <-ctx.Done():
		return api.Forecast{}, fmt.Errorf("preflight: %w", errPatience)
	}
}

func (l *Look) judge(ctx context.Context, now, next *policy.Policy) (api.Forecast, error) {
	opened := openAll(l.programs())
	defer opened.close()
	c := newCollection(l.self, opened)
	if err := l.eng.Survey(ctx, opened.files(), c.add); err != nil {
		return api.Forecast{}, err
	}
	q := question{now: now, next: next, unavailable: l.eng.Unavailable()}
	denied := q.denied(c.all())
	if err := l.replaced(ctx, q, denied); err != nil {
		return api.Forecast{}, err
	}
	f := q.forecast(denied)
	f.Files, f.Processes = c.files(), len(c.processes)
	return f, nil
}

// replaced looks again at files that have lost their name: an upgrade put others in
// their place, which are what will be executed from now on.
func (l *Look) replaced(ctx context.Context, q question, denied []*code) error {
	var paths []string
	of := map[int]*code{}
	for _, d := range denied {
		if path, ok := d.successor(); ok {
			of[len(paths)] = d
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	opened := openEach(paths)
	defer opened.close()
	return l.eng.Survey(ctx, opened.files(), func(u engine.Use) {
		i, ok := opened.index(u, l.self)
		if !ok {
			return
		}
		if d := of[i]; sameDevice(d.use, u) && !q.newlyDenies(u.Evidence) {
			d.gone = true
		}
	})
}

func sameDevice(a, b engine.Use) bool { return a.Major == b.Major && a.Minor == b.Minor }
