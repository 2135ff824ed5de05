package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/policy"
)

// Record is a decision as it is logged and shown. In JSON it is an AuditRecord.
type Record struct {
	Time      time.Time
	Action    string
	Op        string
	Hook      string
	Enforcing bool
	PID       uint32
	Comm      string
	// Path is as the task's root sees it; empty without a file, as Device.
	Path   string
	Device string
	Inode  uint64
	// Statement is what decided; nil if its policy is forgotten.
	Statement *policy.Statement
	// Policy is the name of the policy that decided.
	Policy     string
	Generation uint64
	// UID is the user whose process it is; nil if the engine does not know.
	UID *uint32
	// Strict names the strict rule that refused something beside the policy; then there is
	// no operation, hook, statement or policy. Killed: the process was killed, for the kernel
	// asks nobody there.
	Strict string
	Killed bool
	// Merged is 0 for one decision. Otherwise this is the last of so many that were equal
	// but for the process, within a second, and that have no record of their own.
	Merged uint64
}

// AuditRecord is a record that a kernel with IPE writes, and what only this daemon knows of
// a decision. It is the one JSON form of decisions, in what the socket, ipe events and ipe
// audit give; its version is that of package audit.
type AuditRecord struct {
	audit.JSON
	Policy     string  `json:"policy_name,omitempty"`
	Generation uint64  `json:"generation,omitempty"`
	UID        *uint32 `json:"uid,omitempty"`
	// Merged is that of Record: if it is not 0, a kernel would have so many records.
	Merged uint64 `json:"merged,omitempty"`
	// Strict is set, and none of the kernel's own, for what a strict rule found.
	Strict *StrictRecord `json:"strict,omitempty"`
}

// StrictRecord is what a strict rule found. No kernel has such a record.
type StrictRecord struct {
	Rule      string          `json:"rule"`
	Enforcing bool            `json:"enforcing"`
	Killed    bool            `json:"killed"`
	PID       uint32          `json:"pid"`
	Comm      audit.Bytes     `json:"comm"`
	File      *audit.JSONFile `json:"file"` // null without a file
}

// strictName stands where a kernel's record has the name of its type.
const strictName = "STRICT"

// Tell adds what only this daemon knows of the decision.
func (j AuditRecord) Tell(r *Record) AuditRecord {
	j.Policy, j.Generation, j.UID, j.Merged = r.Policy, r.Generation, r.UID, r.Merged
	return j
}

// Rule is the statement that decided, as it stands in a policy; empty if that is forgotten.
func (r *Record) Rule() string {
	if r.Statement == nil {
		return ""
	}
	return r.Statement.String()
}

// MarshalJSON implements [json.Marshaler].
func (r Record) MarshalJSON() ([]byte, error) {
	if r.Strict != "" {
		found := &StrictRecord{Rule: r.Strict, Enforcing: r.Enforcing, Killed: r.Killed, PID: r.PID, Comm: audit.Bytes(r.Comm), File: r.file()}
		form := audit.JSON{Version: audit.JSONVersion, Name: strictName, Time: r.Time}
		return json.Marshal(AuditRecord{JSON: form, Strict: found}.Tell(&r))
	}
	access := &audit.JSONAccess{
		Op: r.Op, Hook: r.Hook, Enforcing: r.Enforcing, PID: r.PID, Comm: audit.Bytes(r.Comm), File: r.file(),
		Action: r.Action,
	}
	if st := r.Statement; st != nil {
		access.Scope, access.Rule = st.Scope.String(), audit.Statement(*st).String()
	}
	form := audit.JSON{Version: audit.JSONVersion, Type: audit.TypeAccess, Name: audit.TypeAccess.String(), Time: r.Time, Access: access}
	return json.Marshal(AuditRecord{JSON: form}.Tell(&r))
}

// file is that of the record, nil without one.
func (r *Record) file() *audit.JSONFile {
	switch {
	case r.Path == "" && r.Device == "" && r.Inode == 0:
		return nil
	case r.Device == "" && r.Inode == 0:
		return &audit.JSONFile{Path: audit.Bytes(r.Path)}
	}
	device, inode := audit.Bytes(r.Device), r.Inode
	return &audit.JSONFile{Path: audit.Bytes(r.Path), Dev: &device, Ino: &inode}
}

// errForm means that the daemon is of another version.
var errForm = errors.New("a decision in a form that this program does not know: ipe and iped must be of one version")

// UnmarshalJSON implements [json.Unmarshaler].
func (r *Record) UnmarshalJSON(text []byte) error {
	var j AuditRecord
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	a := j.Access
	if s := j.Strict; s != nil && j.Version == audit.JSONVersion && a == nil {
		*r = Record{Time: j.Time, Action: policy.Deny.String(), Strict: s.Rule, Enforcing: s.Enforcing, Killed: s.Killed, PID: s.PID, Comm: string(s.Comm), UID: j.UID, Merged: j.Merged}
		r.setFile(s.File)
		return nil
	}
	if j.Version != audit.JSONVersion || a == nil {
		return errForm
	}
	var decided *policy.Statement
	if a.Rule != "" {
		st, err := audit.ParseStatement(a.Rule)
		if err != nil {
			return fmt.Errorf("%w: %w", errForm, err)
		}
		decided = (*policy.Statement)(&st)
	}
	*r = Record{
		Time: j.Time, Action: a.Action, Op: a.Op, Hook: a.Hook, Enforcing: a.Enforcing, PID: a.PID, Comm: string(a.Comm),
		Statement: decided, Policy: j.Policy, Generation: j.Generation, UID: j.UID, Merged: j.Merged,
	}
	r.setFile(a.File)
	return nil
}

func (r *Record) setFile(f *audit.JSONFile) {
	if f == nil {
		return
	}
	r.Path = string(f.Path)
	if f.Dev != nil {
		r.Device = string(*f.Dev)
	}
	if f.Ino != nil {
		r.Inode = *f.Ino
	}
}

// RuleText returns the statement of p that decided, and nothing if p has none such.
func RuleText(p *policy.Policy, op policy.Op, d eval.Decision) string {
	st, err := eval.StatementOf(p, op, d)
	if err != nil {
		return ""
	}
	return st.String()
}
