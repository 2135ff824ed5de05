package journal

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	sd "github.com/coreos/go-systemd/v22/journal"
)

// patience is how long the journal may take for one entry. It takes microseconds; but
// while it is stopped and its socket is full, a send waits without end.
const patience = 2 * time.Second

// ErrStuck says that the journal takes nothing.
var ErrStuck = errors.New("the journal does not take entries: see systemctl status systemd-journald")

type sendFunc func(message string, p sd.Priority, vars map[string]string) error

// sender sends entries one after the other, and waits for the journal for so long only.
// An entry that it has given up may still arrive.
type sender struct {
	to   sendFunc
	busy chan struct{} // full while an entry is under way
	// stuck: the last one was given up. The next does not wait for it.
	stuck atomic.Bool
}

func newSender(to sendFunc) *sender { return &sender{to: to, busy: make(chan struct{}, 1)} }

// send returns nil if the journal's socket took the entry.
func (s *sender) send(message string, p sd.Priority, vars map[string]string) error {
	limit := patience
	if s.stuck.Load() {
		limit = 0
	}
	give := time.NewTimer(limit)
	defer give.Stop()
	select {
	case s.busy <- struct{}{}:
	case <-give.C:
		return ErrStuck
	}
	give.Reset(patience)
	sent := make(chan error, 1)
	go func() {
		err := s.to(message, p, vars)
		s.stuck.Store(false)
		<-s.busy
		sent <- err
	}()
	select {
	case err := <-sent:
		if err != nil {
			return fmt.Errorf("the journal: %w", err)
		}
		return nil
	case <-give.C:
		s.stuck.Store(true)
		return ErrStuck
	}
}
