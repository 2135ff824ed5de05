package policy_test

import (
	"encoding"
	"errors"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/policy"
)

// TestWords: each word is read as it is written, and only so.
func TestWords(t *testing.T) {
	var words []encoding.TextMarshaler
	for _, op := range append(policy.Ops(), policy.OpUnknown) {
		words = append(words, op)
	}
	for _, k := range policy.AllKeys() {
		words = append(words, k)
	}
	for _, w := range append(words, policy.NoAction, policy.Allow, policy.Deny, policy.Version{Major: 1, Minor: 2, Rev: 65535}) {
		text, err := w.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		switch w := w.(type) {
		case policy.Op:
			readsAs(t, text, w)
		case policy.Key:
			readsAs(t, text, w)
		case policy.Action:
			readsAs(t, text, w)
		case policy.Version:
			readsAs(t, text, w)
		}
	}
	for _, w := range []encoding.TextMarshaler{policy.OpUnknown + 1, policy.Deny + 1, policy.FSVeritySignature + 1} {
		if text, err := w.MarshalText(); err == nil {
			t.Errorf("%T: %q", w, text)
		}
	}
}

func readsAs[T comparable, P interface {
	*T
	encoding.TextUnmarshaler
}](t *testing.T, text []byte, want T) {
	t.Helper()
	var got T
	if err := P(&got).UnmarshalText(text); err != nil || got != want {
		t.Errorf("%q is read as %v, %v; want %v", text, got, err, want)
	}
	if err := P(&got).UnmarshalText([]byte("-")); err == nil {
		t.Errorf("%T is read from -", got)
	}
}

func TestParseWords(t *testing.T) {
	for text, parse := range map[string]func(string) error{
		"UNKNOWN":  func(s string) error { _, err := policy.ParseOp(s); return err },
		"execute":  func(s string) error { _, err := policy.ParseOp(s); return err },
		"":         func(s string) error { _, err := policy.ParseAction(s); return err },
		"digest":   func(s string) error { _, err := policy.ParseKey(s); return err },
		"EXECUTE ": func(s string) error { _, err := policy.ParseOp(s); return err },
	} {
		err := parse(text)
		var syntax *policy.SyntaxError
		if !errors.Is(err, policy.ErrSyntax) || !errors.As(err, &syntax) || syntax.Token != text || !strings.Contains(err.Error(), "there are ") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if a, err := policy.ParseAction("DENY"); a != policy.Deny || err != nil {
		t.Error(a, err)
	}
}

// TestOpActions: every operation has its own action, and what none can name has none.
func TestOpActions(t *testing.T) {
	var all, other policy.OpActions
	for i, op := range policy.Ops() {
		all.Set(op, policy.Action(i%3))
		if !op.Known() {
			t.Errorf("%v is not known", op)
		}
	}
	for i, op := range policy.Ops() {
		if got := all.Of(op); got != policy.Action(i%3) {
			t.Errorf("%v has %v", op, got)
		}
	}
	if all.Of(policy.OpUnknown) != policy.NoAction || policy.OpUnknown.Known() || all.Equal(other) || !all.Equal(all) {
		t.Error("what no policy can name has an action")
	}
}
