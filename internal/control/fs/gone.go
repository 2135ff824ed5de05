package fs

import (
	"context"
	"log/slog"
	"strings"
)

// goneText begins what package fuse logs of an answer that nobody waits for any more: the
// process that asked was killed, or the tree unmounted. That is nothing to warn of.
const goneText = "writer: Write/Writev failed, err: 2="

// unlessGone is a log without it.
type unlessGone struct{ slog.Handler }

// Handle implements [slog.Handler].
func (h unlessGone) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, goneText) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}
