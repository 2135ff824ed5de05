package control

import (
	"fmt"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
)

// Preflight looks at what the machine executes before a policy begins to decide, so
// that nobody locks himself out by one command.
type Preflight interface {
	// Judge tells what of it next would deny and now allows; now is nil if everything is
	// allowed.
	Judge(now, next *policy.Policy) (api.Forecast, error)
}

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
		c.log.Warn("nobody looked at what the policy would deny", "reason", api.ErrNoPreflight)
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
		return &api.LockoutError{Forecast: f}
	}
	return nil
}

func (c *Control) forecast(now, next *deployed) (api.Forecast, error) {
	if c.preflight == nil {
		return api.Forecast{}, api.ErrNoPreflight
	}
	var present *policy.Policy
	if now != nil {
		present = now.policy
	}
	f, err := c.preflight.Judge(present, next.policy)
	if err != nil {
		return api.Forecast{}, fmt.Errorf("%w: %w", api.ErrNoForecast, err)
	}
	f.Policy, f.Version = next.name, next.policy.Version.String()
	if f.Findings == nil {
		f.Findings = []api.Finding{}
	}
	c.log.Info("looked at what a policy would deny", "policy_name", f.Policy, "policy_version", f.Version,
		"files", f.Files, "processes", f.Processes, "denied", f.Denied())
	return f, nil
}

// Forecast tells what the named policy would newly deny if it became active and was
// enforced. Errors: api.ErrNotFound, api.ErrUnverified, api.ErrNoForecast, api.ErrNoPreflight.
func (c *Control) Forecast(name string) (api.Forecast, error) {
	c.follow()
	d, err := c.lookup(name)
	if err != nil {
		return api.Forecast{}, fmt.Errorf("preflight: %w", err)
	}
	if d.err != nil {
		return api.Forecast{}, fmt.Errorf("preflight: %s: %w", policyNamed(name), &unverifiedError{d.err})
	}
	return c.forecastFor(d)
}

// ForecastOf is Forecast for a message that need not be loaded. Errors are also those
// of package sign and of policy.Parse.
func (c *Control) ForecastOf(envelope []byte) (api.Forecast, error) {
	c.follow()
	d, err := c.open(envelope)
	if err != nil {
		return api.Forecast{}, fmt.Errorf("preflight: %w", err)
	}
	return c.forecastFor(d)
}

func (c *Control) forecastFor(d *deployed) (api.Forecast, error) {
	active, mode := c.current()
	if !mode.Enforce {
		active = nil
	}
	f, err := c.forecast(active, d)
	if err != nil {
		return api.Forecast{}, fmt.Errorf("preflight: %w", err)
	}
	return f, nil
}
