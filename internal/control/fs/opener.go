package fs

import (
	"context"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/peer"
)

// openerMayChange reports whether the thread that is in open(2) may administer. One of
// another PID namespace has the number 0, and may not.
func openerMayChange(ctx context.Context) bool {
	caller, ok := fuse.FromContext(ctx)
	return ok && peer.Lack(caller.Pid) == nil
}

// writer is who the thread acts for that is in write(2).
func writer(ctx context.Context) audit.Subject {
	caller, ok := fuse.FromContext(ctx)
	if !ok {
		return peer.Nobody().Subject
	}
	return peer.SubjectOf(caller.Pid)
}
