package sink

import (
	"context"
	"log/slog"
	"time"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/sink/journal"
	"github.com/ipe-linux/ipe/internal/control/trail"
	"github.com/ipe-linux/ipe/policy"
)

const journalName = "journal"

// journalWriter writes decisions to the daemon's log, which has changes already.
type journalWriter struct{ to slog.Handler }

func (j *journalWriter) write(batch []trail.Entry) (int, error) {
	for i, e := range batch {
		if err := j.to.Handle(context.Background(), logged(e.Decision)); err != nil {
			return i, err
		}
	}
	return len(batch), nil
}

// logged is the log's record of a decision.
func logged(d *api.Record) slog.Record {
	level, kind := severity(d)
	r := slog.NewRecord(time.Now(), level, "decision", 0)
	if d.Strict != "" {
		r.Add("action", d.Action, "strict_rule", d.Strict, "enforcing", d.Enforcing, "killed", d.Killed,
			"pid", d.PID, "comm", d.Comm, "path", d.Path, "dev", d.Device, "ino", d.Inode)
		return finished(r, d, kind)
	}
	r.Add("action", d.Action, "ipe_op", d.Op, "ipe_hook", d.Hook, "enforcing", d.Enforcing,
		"pid", d.PID, "comm", d.Comm, "path", d.Path, "dev", d.Device, "ino", d.Inode,
		"rule", d.Rule(), "policy_name", d.Policy)
	return finished(r, d, kind)
}

// finished adds what all decisions have.
func finished(r slog.Record, d *api.Record, kind journal.Kind) slog.Record {
	if d.UID != nil {
		r.Add("uid", *d.UID)
	}
	if d.Merged > 0 {
		r.Add("merged", d.Merged)
	}
	r.AddAttrs(kind.Attr())
	return r
}

// severity is a warning if somebody was kept from something.
func severity(d *api.Record) (slog.Level, journal.Kind) {
	switch {
	case d.Action == policy.Allow.String():
		return slog.LevelInfo, journal.Allowed
	case d.Enforcing:
		return slog.LevelWarn, journal.Denied
	}
	return journal.LevelNotice, journal.WouldDeny
}

func (*journalWriter) reopen() error { return nil }

func (*journalWriter) close() error { return nil }
