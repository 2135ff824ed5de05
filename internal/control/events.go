package control

import (
	"context"
	"time"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
)

// Record is a decision as it is logged and shown. The keys are those of the
// kernel's record 1420.
type Record struct {
	Time      time.Time `json:"time"`
	Action    string    `json:"action"`
	Op        string    `json:"ipe_op"`
	Hook      string    `json:"ipe_hook"`
	Enforcing bool      `json:"enforcing"`
	PID       uint32    `json:"pid"`
	Comm      string    `json:"comm"`
	// Path is as the task's root sees it; empty without a file.
	Path   string `json:"path"`
	Device string `json:"dev"`
	Inode  uint64 `json:"ino"`
	// Rule is the statement that decided, empty if its policy is forgotten.
	Rule string `json:"rule"`
	// Policy is the name of the policy that decided.
	Policy     string `json:"policy_name"`
	Generation uint64 `json:"generation"`
	// UID is the user whose process it is; nil if the engine does not know.
	UID *uint32 `json:"uid"`
	// Merged is 0 for one decision. Otherwise this is the last of so many that were equal
	// but for the process, within a second, and that have no record of their own.
	Merged uint64 `json:"merged"`
}

func describe(e engine.Event, p *policy.Policy) Record {
	rec := Record{
		Time: e.Time, Action: e.Decision.Action.String(), Op: e.Event.Op.String(), Hook: e.Event.Hook.String(),
		Enforcing: e.Enforcing, PID: e.PID, Comm: e.Comm, Path: e.Path, Device: e.Device, Inode: e.Inode,
		Generation: e.Generation,
	}
	if !e.NoUID {
		uid := e.UID
		rec.UID = &uid
	}
	if p != nil {
		rec.Policy, rec.Rule = p.Name, RuleText(p, e.Event.Op, e.Decision)
	}
	return rec
}

// RuleText returns the statement of p that decided, and nothing if p has none such.
func RuleText(p *policy.Policy, op policy.Op, d eval.Decision) string {
	st, err := eval.StatementOf(p, op, d)
	if err != nil {
		return ""
	}
	return st.String()
}

// Events calls fn with each kept decision, oldest first, and, if follow is set,
// with each new one until ctx ends or fn returns an error. A follower that is too
// slow misses decisions rather than delay anybody; Status counts them.
func (c *Control) Events(ctx context.Context, follow bool, fn func(Record) error) error {
	return c.events.each(ctx, follow, func(e Entry) error {
		if e.Decision == nil {
			return nil
		}
		return fn(*e.Decision)
	})
}

// AuditRecord is a record that a kernel with IPE writes.
type AuditRecord struct {
	audit.JSON
	// Merged is that of Record: if it is not 0, a kernel would have so many records.
	Merged uint64 `json:"merged,omitempty"`
}

// Records is Events for the records that a kernel with IPE writes, of all types.
func (c *Control) Records(ctx context.Context, follow bool, fn func(AuditRecord) error) error {
	return c.events.each(ctx, follow, func(e Entry) error {
		if e.Record == nil {
			return nil
		}
		return fn(AuditRecord{audit.NewJSON(e.Header, e.Record), e.merged()})
	})
}
