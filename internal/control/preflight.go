package control

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/policy"
)

// Preflight looks at what the machine executes before a policy begins to decide, so
// that nobody locks himself out by one command.
type Preflight interface {
	// Judge tells what of it next would deny and now allows; now is nil if everything is
	// allowed.
	Judge(now, next *policy.Policy) (Forecast, error)
}

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

var (
	// ErrLockout: what runs now would be denied. ECANCELED.
	ErrLockout = errno.New(unix.ECANCELED, "what the machine runs now would be denied")
	// ErrNoForecast: nobody can say what would be denied. ECANCELED.
	ErrNoForecast = errno.New(unix.ECANCELED, "cannot tell what would be denied")
	// ErrNoPreflight: this engine cannot look. EOPNOTSUPP.
	ErrNoPreflight = errno.New(unix.EOPNOTSUPP, "preflight works with --engine bpf only")
)

// LockoutError is a refusal with what it rests on. It wraps ErrLockout.
type LockoutError struct{ Forecast Forecast }

// Error names the weightiest finding.
func (e *LockoutError) Error() string {
	f := e.Forecast
	first := f.Findings[0]
	what := fmt.Sprintf("%q", first.Path)
	if first.Memory {
		what = "memory without a file"
	}
	role := ""
	if len(first.Roles) > 0 {
		role = " (" + first.Roles[0] + ")"
	}
	return fmt.Sprintf("policy %q %s: %v: %d newly, first %s%s", f.Policy, f.Version, ErrLockout, f.Denied(), what, role)
}

// Unwrap returns ErrLockout.
func (*LockoutError) Unwrap() error { return ErrLockout }

// guard is asked before a policy begins to deny: now decides until then, nil if
// everything is allowed. A nil guard has no objections.
type guard func(now, next *deployed) error

func (g guard) ask(now, next *deployed) error {
	if g == nil {
		return nil
	}
	return g(now, next)
}

// askSwitch asks before next takes the place of now. Permissive, nothing is denied.
func (g guard) askSwitch(now, next *deployed, mode engine.Mode) error {
	if !mode.Enforce {
		return nil
	}
	return g.ask(now, next)
}

// askMode asks before what was only recorded is denied.
func (g guard) askMode(active *deployed, m, old engine.Mode) error {
	if !m.Enforce || old.Enforce {
		return nil
	}
	return g.ask(nil, active)
}

// lookAhead is a guard.
func (c *Control) lookAhead(now, next *deployed) error {
	if c.preflight == nil {
		c.log.Warn("nobody looked at what the policy would deny", "reason", ErrNoPreflight)
		return nil
	}
	if next == nil || next.policy == nil {
		return nil
	}
	f, err := c.forecast(now, next)
	if err != nil {
		return err
	}
	if f.Denied() > 0 {
		return &LockoutError{f}
	}
	return nil
}

func (c *Control) forecast(now, next *deployed) (Forecast, error) {
	if c.preflight == nil {
		return Forecast{}, ErrNoPreflight
	}
	var present *policy.Policy
	if now != nil {
		present = now.policy
	}
	f, err := c.preflight.Judge(present, next.policy)
	if err != nil {
		return Forecast{}, fmt.Errorf("%w: %w", ErrNoForecast, err)
	}
	f.Policy, f.Version = next.name, next.policy.Version.String()
	if f.Findings == nil {
		f.Findings = []Finding{}
	}
	c.log.Info("looked at what a policy would deny", "policy_name", f.Policy, "policy_version", f.Version,
		"files", f.Files, "processes", f.Processes, "denied", f.Denied())
	return f, nil
}

// Forecast tells what the named policy would newly deny if it became active and was
// enforced. Errors: ErrNotFound, ErrUnverified, ErrNoForecast, ErrNoPreflight.
func (c *Control) Forecast(name string) (Forecast, error) {
	c.follow()
	d, err := c.lookup(name)
	if err != nil {
		return Forecast{}, fmt.Errorf("preflight: %w", err)
	}
	if d.err != nil {
		return Forecast{}, fmt.Errorf("preflight: policy %q: %w", name, &unverifiedError{d.err})
	}
	return c.forecastFor(d)
}

// ForecastOf is Forecast for a message that need not be loaded. Errors are also those
// of package sign and of policy.Parse.
func (c *Control) ForecastOf(envelope []byte) (Forecast, error) {
	c.follow()
	d, err := c.open(envelope)
	if err != nil {
		return Forecast{}, fmt.Errorf("preflight: %w", err)
	}
	return c.forecastFor(d)
}

func (c *Control) forecastFor(d *deployed) (Forecast, error) {
	active, mode := c.current()
	if !mode.Enforce {
		active = nil
	}
	f, err := c.forecast(active, d)
	if err != nil {
		return Forecast{}, fmt.Errorf("preflight: %w", err)
	}
	return f, nil
}
