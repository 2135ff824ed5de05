package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/profiles"
	"github.com/ipe-linux/ipe/internal/control/sink/journal"
	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/internal/plain"
)

// hangups are the requests to reload, from now on: one that comes during the start waits
// for its end, and ends no process. The process takes them until it ends.
func hangups() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}

// errEnds: iped ends, and whoever asks for a reload gets none.
var errEnds = errno.New(unix.ESHUTDOWN, "iped is stopping")

// reloading is control with the reload of the daemon around it, as the socket serves it.
type reloading struct {
	*control.Control
	*profiles.Profiles
	d *daemon
}

// Status is that of control, with the profile.
func (r reloading) Status() api.Status { return r.Complete(r.Control.Status()) }

// Reload waits for a reload of its own, after one that goes on: that may have read already
// what was changed since.
func (r reloading) Reload(ctx context.Context) (api.Reloaded, error) {
	answer := make(chan error, 1)
	select {
	case r.d.asked <- answer:
		err := <-answer
		return api.Reloaded{Certificates: r.Status().Trust.Certificates}, err
	case <-ctx.Done():
		return api.Reloaded{}, errEnds
	}
}

// reloadAt reloads at each request, one at a time, until ctx ends.
func (d *daemon) reloadAt(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			_ = d.reload() // it is in the log, and nobody waits
		case answer := <-d.asked:
			answer <- d.reload()
		}
	}
}

// reload reads anew whatever can change while iped runs: certificates, and by them the
// stored policies and the signatures of root hashes; and it opens files of records anew.
// Policy directories are not among it: they are for what a machine starts with, and a
// rotation of logs must not make another policy decide.
//
// What fails keeps what was before, and is told to the log, to ipe status, to systemd and to
// whoever waits.
func (d *daemon) reload() (err error) {
	notify(d.log, beginsReload())
	err = oneLine([]error{d.readTrust(), d.roots.read(), d.c.Reverify(), d.profiles.Reverify()})
	d.records.reopen()
	s := d.c.Status()
	told := sd.SdNotifyReady + "\nSTATUS=" + plain.Text(s.Summary)
	if err != nil {
		told += "; reload: " + err.Error()
		d.log.Error("reloaded with problems", "certificates", s.Trust.Certificates, "error", err, journal.Reloaded.Attr())
	} else {
		d.log.Info("reloaded", "certificates", s.Trust.Certificates, journal.Reloaded.Attr())
	}
	notify(d.log, told)
	return err
}

// beginsReload says that a reload begins. systemd wants to know when, to tell this one from
// one before: see sd_notify(3).
func beginsReload() string {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // it cannot fail for this clock
	return fmt.Sprintf("%s\nMONOTONIC_USEC=%d\nSTATUS=reloading", sd.SdNotifyReloading, now.Nano()/1000)
}

// oneLine joins errors, nil ones aside, in one line, as logs and systemd's status have
// them; nil if there are none.
func oneLine(errs []error) error {
	err := errors.Join(errs...)
	if err == nil || !strings.Contains(err.Error(), "\n") {
		return err
	}
	return joined{err}
}

// joined is an error of several, whose text is one line.
type joined struct{ error }

func (j joined) Error() string { return strings.ReplaceAll(j.error.Error(), "\n", "; ") }

func (j joined) Unwrap() error { return j.error }
