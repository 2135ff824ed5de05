package trail

import (
	"context"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
)

// Decisions calls fn with each kept decision, oldest first, and, if follow is set, with
// each new one until ctx ends or fn returns an error. A follower that is too slow misses
// decisions rather than delay anybody; Counts has them.
func (t *Trail) Decisions(ctx context.Context, follow bool, fn func(api.Record) error) error {
	return t.each(ctx, follow, func(e Entry) error {
		if e.Decision == nil {
			return nil
		}
		return fn(*e.Decision)
	})
}

// Records is Decisions for the records that a kernel with IPE writes, of all types.
func (t *Trail) Records(ctx context.Context, follow bool, fn func(api.AuditRecord) error) error {
	return t.each(ctx, follow, func(e Entry) error {
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
