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

// teller is a log in which others look for kinds.
type teller struct{ *slog.Logger }

// tell logs something of a kind.
func (l teller) tell(level slog.Level, k topic, msg string, args ...any) {
	l.Log(context.Background(), level, msg, append(args, "kind", string(k))...)
}
