package api

import (
	"fmt"

	"github.com/ipe-linux/ipe/internal/plain"
)

// Forecast is what a policy would newly deny.
type Forecast struct {
	// Policy and Version are those of the policy in question.
	Policy  string `json:"policy_name"`
	Version string `json:"policy_version"`
	// Files and Processes count what was looked at.
	Files     int `json:"files"`
	Processes int `json:"processes"`
	// Findings are in the order of their weight; Omitted counts those that had no room.
	Findings []Finding `json:"findings"`
	Omitted  int       `json:"omitted"`
}

// Denied counts the findings.
func (f Forecast) Denied() int { return len(f.Findings) + f.Omitted }

// Finding is a file, or memory without one, that would newly be denied.
type Finding struct {
	// Path is the file's, as iped sees it; empty for memory without a file.
	Path   string `json:"path"`
	Memory bool   `json:"memory"`
	Device string `json:"dev"`
	Inode  uint64 `json:"ino"`
	// Roles say what the machine could not be repaired without: init, iped, ipe, shell, login.
	Roles []string `json:"roles"`
	// Processes are some of the Users processes that have it in memory.
	Processes []Process `json:"processes"`
	Users     int       `json:"users"`
	// Rule is the statement that would deny.
	Rule  string `json:"rule"`
	Facts Facts  `json:"facts"`
}

// Process is one that runs now.
type Process struct {
	PID  uint32 `json:"pid"`
	Comm string `json:"comm"`
}

// Facts are what properties of a policy are compared with. A digest that the file does
// not have is empty.
type Facts struct {
	BootVerified      bool   `json:"boot_verified"`
	DMVerityRoothash  string `json:"dmverity_roothash"`
	DMVeritySignature bool   `json:"dmverity_signature"`
	FSVerityDigest    string `json:"fsverity_digest"`
	FSVeritySignature bool   `json:"fsverity_signature"`
}

// LockoutError is a refusal with what it rests on. It wraps ErrLockout.
type LockoutError struct{ Forecast Forecast }

// Error names the weightiest finding.
func (e *LockoutError) Error() string {
	f := e.Forecast
	first := f.Findings[0]
	what := plain.Name(first.Path)
	if first.Memory {
		what = "memory without a file"
	}
	role := ""
	if len(first.Roles) > 0 {
		role = " (" + first.Roles[0] + ")"
	}
	return fmt.Sprintf("policy %s %s: %v: %d newly, first %s%s", plain.Name(f.Policy), f.Version, ErrLockout, f.Denied(), what, role)
}

// Unwrap returns ErrLockout.
func (*LockoutError) Unwrap() error { return ErrLockout }
