// Package journal writes log records to systemd's journal with its priorities and with
// fields of their own, IPE_ and the name of the attribute in capitals, so that
//
//	journalctl IPE_ACTION=DENY IPE_POLICY=site
//
// finds them. What an entry is about is told by its MESSAGE_ID: see Kind.
package journal

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	sd "github.com/coreos/go-systemd/v22/journal"
)

// Available reports whether the standard error output goes to the journal, so that what
// this process says belongs there.
func Available() bool {
	is, err := sd.StderrIsJournalStream()
	return err == nil && is && sd.Enabled()
}

// identifier is what the journal calls this program.
const identifier = "iped"

// fields names attributes that are called otherwise in the journal. Those of the policy
// that something is about have one name, whatever the kernel's records call it.
var fields = map[string]string{
	"policy_name": "POLICY", "policy_version": "POLICY_VERSION", "policy_digest": "POLICY_DIGEST",
	"new_active_pol_name": "POLICY", "new_active_pol_version": "POLICY_VERSION", "new_policy_digest": "POLICY_DIGEST",
	"old_active_pol_name": "OLD_POLICY", "old_active_pol_version": "OLD_POLICY_VERSION", "old_policy_digest": "OLD_POLICY_DIGEST",
}

// Handler is a slog.Handler whose records go to the journal. Its errors say that the
// journal did not take a record.
type Handler struct {
	to *sender
	// lost takes what the journal did not; nil for nobody.
	lost  slog.Handler
	attrs []slog.Attr
	group string
}

// New returns a Handler. What the journal does not take goes to lost, if it is not nil.
func New(lost slog.Handler) *Handler { return &Handler{to: newSender(sd.Send), lost: lost} }

// Strict is h without somebody who takes what the journal did not.
func (h *Handler) Strict() *Handler {
	s := *h
	s.lost = nil
	return &s
}

// Enabled implements slog.Handler.
func (*Handler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	s := *h
	s.attrs = slices.Concat(h.attrs, attrs)
	if h.lost != nil {
		s.lost = h.lost.WithAttrs(attrs)
	}
	return &s
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	s := *h
	s.group = h.group + name + "_"
	if h.lost != nil {
		s.lost = h.lost.WithGroup(name)
	}
	return &s
}

// Handle implements slog.Handler.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	vars := map[string]string{"SYSLOG_IDENTIFIER": identifier}
	add := func(a slog.Attr) bool {
		v := a.Value.Resolve()
		if a.Key == keyKind {
			vars["MESSAGE_ID"] = Kind(v.String()).ID()
		}
		vars[h.field(a.Key)] = v.String()
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	err := h.to.send(message(ctx, r), priority(r.Level), vars)
	if err != nil && h.lost != nil && !errors.Is(err, ErrStuck) { // then that would wait, too
		return h.lost.Handle(ctx, r)
	}
	return err
}

// field is the name of an attribute's field: the journal takes capitals, digits and
// underscores.
func (h *Handler) field(key string) string {
	name, ok := fields[key]
	if !ok {
		name = strings.TrimPrefix(strings.ToUpper(h.group+key), "IPE_")
	}
	return "IPE_" + strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, name)
}

// message is the text of an entry: what a log in text has, without what the journal adds.
// That quotes whatever others chose.
func message(ctx context.Context, r slog.Record) string {
	var b bytes.Buffer
	text := slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey || a.Key == keyKind) {
			return slog.Attr{}
		}
		return a
	}})
	_ = text.Handle(ctx, r) // a buffer takes everything
	return strings.TrimSpace(r.Message + " " + b.String())
}

func priority(l slog.Level) sd.Priority {
	switch {
	case l >= slog.LevelError:
		return sd.PriErr
	case l >= slog.LevelWarn:
		return sd.PriWarning
	case l >= LevelNotice:
		return sd.PriNotice
	}
	return sd.PriInfo
}
