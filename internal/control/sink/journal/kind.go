package journal

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
)

// LevelNotice is for what an administrator changed: more than what is told anyway, and
// nothing to worry about. It is the journal's priority 5.
const LevelNotice = slog.Level(2)

// keyKind is the key of a Kind among the attributes of a record.
const keyKind = "kind"

// Kind says what an entry is about, as a word that never changes: ipe-audit(5) lists them.
// Any record with the attribute "kind" has one, so who logs need not know of the journal.
type Kind string

// The kinds of what sinks and the daemon tell; package control has its own.
const (
	Denied    Kind = "denied"
	WouldDeny Kind = "would-deny" // in permissive mode
	Allowed   Kind = "allowed"
	Ready     Kind = "ready"
	Reloaded  Kind = "reloaded"
)

// Attr is the attribute that makes a record one of this kind.
func (k Kind) Attr() slog.Attr { return slog.String(keyKind, string(k)) }

// ID is the journal's MESSAGE_ID: 32 hexadecimal digits, made from the word, so that two
// words never have one and there is no list to keep.
func (k Kind) ID() string {
	sum := sha256.Sum256([]byte("ipe kind " + k))
	return fmt.Sprintf("%x", sum[:16])
}

// ReplaceLevel is for slog.HandlerOptions: it gives LevelNotice its name.
func ReplaceLevel(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.LevelKey && a.Value.Any() == LevelNotice {
		return slog.String(slog.LevelKey, "NOTICE")
	}
	return a
}
