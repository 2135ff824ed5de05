package fs

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
)

// goneText begins what package fuse logs of an answer that nobody waits for any more: the
// process that asked was killed, or the tree unmounted. That is nothing to warn of.
const goneText = "writer: Write/Writev failed, err: 2="

// endedText begins what it logs of a connection that was cut. That is worth a warning
// unless it was Close that cut it.
const endedText = "Failed to read from fuse conn: "

// unlessGone is a log without what is nothing to warn of.
type unlessGone struct {
	slog.Handler
	closing *atomic.Bool
}

// Handle implements [slog.Handler].
func (h unlessGone) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, goneText) || h.closing.Load() && strings.HasPrefix(r.Message, endedText) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}
