package control

import (
	"context"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
)

func describe(e engine.Event, p *policy.Policy) api.Record {
	rec := api.Record{
		Time: e.Time, Action: e.Decision.Action.String(), Op: e.Event.Op.String(), Hook: e.Event.Hook.String(),
		Enforcing: e.Enforcing, PID: e.PID, Comm: e.Comm, Path: e.Path, Device: e.Device, Inode: e.Inode,
		Generation: e.Generation,
	}
	if !e.NoUID {
		uid := e.UID
		rec.UID = &uid
	}
	if p != nil {
		rec.Policy = p.Name
		if st, err := eval.StatementOf(p, e.Event.Op, e.Decision); err == nil {
			rec.Statement = &st
		}
	}
	return rec
}

// Events calls fn with each kept decision, oldest first, and, if follow is set,
// with each new one until ctx ends or fn returns an error. A follower that is too
// slow misses decisions rather than delay anybody; Status counts them.
func (c *Control) Events(ctx context.Context, follow bool, fn func(api.Record) error) error {
	return c.events.each(ctx, follow, func(e Entry) error {
		if e.Decision == nil {
			return nil
		}
		return fn(*e.Decision)
	})
}

// Records is Events for the records that a kernel with IPE writes, of all types.
func (c *Control) Records(ctx context.Context, follow bool, fn func(api.AuditRecord) error) error {
	return c.events.each(ctx, follow, func(e Entry) error {
		if e.Record == nil {
			return nil
		}
		rec := api.AuditRecord{JSON: audit.NewJSON(e.Header, e.Record)}
		if e.Decision != nil {
			rec = rec.Tell(e.Decision)
		}
		return fn(rec)
	})
}
