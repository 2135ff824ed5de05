package daemon

import (
	"context"
	"log/slog"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

// notify tells systemd, if it is there.
func notify(log *slog.Logger, state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		log.Warn("systemd cannot be told", "error", err)
	}
}

// pulsesPer is how often systemd is told, in the time after which it takes the daemon
// for hung.
const pulsesPer = 3

// pulse tells systemd, if it wants to know (WatchdogSec=), that this daemon answers: as
// long as alive does, and says so. It returns when ctx ends.
func pulse(ctx context.Context, log *slog.Logger, alive func() bool) {
	limit, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd's watchdog", "error", err)
	}
	if limit == 0 {
		return
	}
	beat := func() bool {
		if alive() {
			notify(log, sd.SdNotifyWatchdog)
		}
		return true
	}
	beat()
	every(ctx.Done(), limit/pulsesPer, beat)
}
