package policy_test

import (
	"errors"
	"testing"

	"github.com/ipe-linux/ipe/conformance"
	"github.com/ipe-linux/ipe/policy"
)

// symbol returns the errno that a kernel gives for the class of err.
func symbol(err error) string {
	switch {
	case err == nil:
		return "OK"
	case errors.Is(err, policy.ErrSyntax):
		return "EBADMSG"
	case errors.Is(err, policy.ErrValue):
		return "EINVAL"
	case errors.Is(err, policy.ErrRange):
		return "ERANGE"
	}
	return err.Error()
}

func TestConformance(t *testing.T) {
	for _, c := range conformance.ParseCases() {
		t.Run(c.ID, func(t *testing.T) {
			p, err := policy.Parse(c.Text)
			if got := symbol(err); got != c.Want {
				t.Fatalf("%s: %s (%v), want %s", c.Why, got, err, c.Want)
			}
			if err != nil {
				checkError(t, c.Text, err)
				return
			}
			checkAccepted(t, p, c)
		})
	}
}

// checkAccepted compares what the case states, and checks that printing loses
// nothing.
func checkAccepted(t *testing.T, p *policy.Policy, c conformance.ParseCase) {
	t.Helper()
	if p.Name != c.Name || p.Version.String() != c.Version || len(p.Rules) != c.Rules {
		t.Errorf("name %q, version %s, %d rules; want %q, %s, %d",
			p.Name, p.Version, len(p.Rules), c.Name, c.Version, c.Rules)
	}
	if len(c.Canonical) > 0 && p.String() != string(c.Canonical) {
		t.Errorf("prints as %q, want %q", p, c.Canonical)
	}
	checkPrint(t, p)
}

// checkPrint checks that a parsed policy survives printing.
func checkPrint(t *testing.T, p *policy.Policy) {
	t.Helper()
	again, err := policy.Parse(p.Text())
	if err != nil {
		t.Fatalf("parse of %q, as printed: %v", p, err)
	}
	if !again.Equal(p) {
		t.Errorf("printed %q, read back %q", p, again)
	}
}
