package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/ipe-linux/ipe/internal/control/api"
)

// ErrHung says that a daemon is there and gives no sign of life: it is stopped, or the
// machine leaves it no time. It comes with ErrUnreachable.
var ErrHung = errors.New("it gives no sign of life")

// ErrUnknownOutcome says that a change was asked for and no answer came: it may have been
// made.
var ErrUnknownOutcome = errors.New("whether the change was made is not known")

// errBusy ends the wait for a daemon that lives and does not come to an end.
var errBusy = errors.New("it lives, and does not finish what it was asked")

// Wait is what a client tells while it waits.
type Wait struct {
	// Since is how long it has waited.
	Since time.Duration
	// Alive: the daemon is busy with this or something else. Otherwise it has not given a
	// sign of life, and the wait ends after Most.
	Alive bool
	Most  time.Duration
}

// patience is how a client waits. What takes long, such as a self-test on a machine under
// load, takes as long as it takes, while the daemon answers GET /v1/alive, for which it
// needs no lock.
type patience struct {
	// say is how long a wait is not worth a word, again how long one word lasts.
	say, again time.Duration
	// ask is the pause between questions whether the daemon lives.
	ask time.Duration
	// hung is how long a living daemon may be silent at most.
	hung time.Duration
	// busy is how long one that lives may take. A daemon that never ends a request is
	// replaced by systemd's watchdog long before.
	busy time.Duration
}

func usualPatience() patience {
	return patience{say: 3 * time.Second, again: 30 * time.Second, ask: 3 * time.Second, hung: 15 * time.Second, busy: 10 * time.Minute}
}

// attend watches over a wait until stop is called. It cancels the request of a daemon that
// is not worth waiting for, with the reason.
func (c *Client) attend(ctx context.Context, cancel context.CancelCauseFunc) (stop func()) {
	ctx, end := context.WithCancel(ctx)
	w := &waiting{c: c, patience: c.patience, began: time.Now()}
	w.heard = w.began
	timer := time.AfterFunc(w.say, func() {
		if err := w.watch(ctx); err != nil {
			cancel(err)
		}
	})
	return func() {
		timer.Stop()
		end()
	}
}

// waiting is one wait.
type waiting struct {
	patience
	c            *Client
	began, heard time.Time
	told         time.Time
	alive        bool
}

// watch returns when ctx ends, or why the wait must end.
func (w *waiting) watch(ctx context.Context) error {
	for limit := w.say; ; limit = max(w.hung-time.Since(w.heard), w.say) {
		if alive := w.c.alive(ctx, limit); alive {
			w.heard = time.Now()
			w.tell(ctx, true)
		} else {
			w.tell(ctx, false)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case time.Since(w.heard) >= w.hung:
			return fmt.Errorf("%w for %d s", ErrHung, int(w.hung.Seconds()))
		case time.Since(w.began) >= w.busy:
			return fmt.Errorf("%w within %d minutes", errBusy, int(w.busy.Minutes()))
		}
		select {
		case <-ctx.Done():
		case <-time.After(w.ask):
		}
	}
}

// tell tells of the wait if there is something new, or after some time.
func (w *waiting) tell(ctx context.Context, alive bool) {
	if ctx.Err() != nil || w.c.OnWait == nil || !w.told.IsZero() && alive == w.alive && time.Since(w.told) < w.again {
		return
	}
	w.told, w.alive = time.Now(), alive
	w.c.OnWait(Wait{Since: time.Since(w.began), Alive: alive, Most: w.hung})
}

// alive reports whether the daemon gives a sign of life. Any answer is one: older daemons
// do not know the question.
func (c *Client) alive(ctx context.Context, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://iped"+api.Version+api.PathAlive, nil)
	if err != nil {
		return false
	}
	resp, err := (&http.Transport{DialContext: c.dial, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return true
}
