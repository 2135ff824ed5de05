package control

import (
	"context"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/trail"
	"github.com/ipe-linux/ipe/internal/errno"
)

// Events calls fn with each kept decision, oldest first, and, if follow is set,
// with each new one until ctx ends or fn returns an error. A follower that is too
// slow misses decisions rather than delay anybody; Status counts them.
func (c *Control) Events(ctx context.Context, follow bool, fn func(api.Record) error) error {
	return c.trail.Decisions(ctx, follow, fn)
}

// Records is Events for the records that a kernel with IPE writes, of all types.
func (c *Control) Records(ctx context.Context, follow bool, fn func(api.AuditRecord) error) error {
	return c.trail.Records(ctx, follow, fn)
}

// AddSink has a sink take all entries from now on, after those that are kept in memory:
// a sink that cannot be opened yet must not delay what it would record.
func (c *Control) AddSink(s trail.Sink) { c.trail.AddSink(s) }

func (d *deployed) auditID() *audit.PolicyID {
	if d == nil || d.policy == nil {
		return nil
	}
	return &audit.PolicyID{Name: d.name, Version: d.policy.Version, Digest: d.id}
}

// recordLoad records that a policy was loaded or updated, or why not.
func (r request) recordLoad(d *deployed, err error) {
	rec := audit.PolicyLoad{Subject: r.who, Errno: uint16(errno.Of(err))}
	if err == nil {
		rec.Policy = d.auditID()
	}
	r.trail.Changed(rec)
}
