package api

import (
	"time"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/eval"
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

// AuditRecord is a record that a kernel with IPE writes.
type AuditRecord struct {
	audit.JSON
	// Merged is that of Record: if it is not 0, a kernel would have so many records.
	Merged uint64 `json:"merged,omitempty"`
}

// RuleText returns the statement of p that decided, and nothing if p has none such.
func RuleText(p *policy.Policy, op policy.Op, d eval.Decision) string {
	st, err := eval.StatementOf(p, op, d)
	if err != nil {
		return ""
	}
	return st.String()
}
