package control

import (
	"context"
	"log/slog"
)

// topic says what a line of the log is about, as ipe-audit(5) lists it. The journal makes
// its MESSAGE_ID of it.
type topic string

const (
	kindPolicyLoaded    topic = "policy-loaded"
	kindPolicyUpdated   topic = "policy-updated"
	kindPolicyActivated topic = "policy-activated"
	kindPolicyDeleted   topic = "policy-deleted"
	kindModeChanged     topic = "mode-changed"
	kindRefused         topic = "refused"
	kindProblem         topic = "problem"
	kindSolved          topic = "solved"
	kindSelfTestFailed  topic = "self-test-failed"
)

// levelNotice is for what an administrator changed; logs know it by its number.
const levelNotice = slog.Level(2)

// tell logs something of a kind that others may look for.
func (c *Control) tell(level slog.Level, k topic, msg string, args ...any) {
	c.log.Log(context.Background(), level, msg, append(args, "kind", string(k))...)
}
