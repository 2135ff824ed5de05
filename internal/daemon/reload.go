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

	"github.com/ipe-linux/ipe/internal/control/sink/journal"
	"github.com/ipe-linux/ipe/internal/plain"
)

// hangups are the requests to reload, from now on: one that comes during the start waits
// for its end, and ends no process. The process takes them until it ends.
func hangups() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}

// reloadAt reloads at each request, until ctx ends.
func (d *daemon) reloadAt(ctx context.Context, requests <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-requests:
			d.reload()
		}
	}
}

// reload reads anew whatever can change while iped runs: certificates, and by them the
// stored policies and the signatures of root hashes; and it opens files of records anew.
// Policy directories are not among it: they are for what a machine starts with, and a
// rotation of logs must not make another policy decide.
//
// What fails keeps what was before, and is told to the log, to ipe status and to systemd.
func (d *daemon) reload() {
	notify(d.log, reloading())
	err := oneLine([]error{d.readTrust(), d.roots.read(), d.c.Reverify()})
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
}

// reloading says that a reload begins. systemd wants to know when, to tell this one from
// one before: see sd_notify(3).
func reloading() string {
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
