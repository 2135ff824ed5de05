package fs

import (
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// looks are modes and owners that were changed, by inode number, which are forgotten
// with the mount. They decide who may open a file; who may change something by it is
// asked all the same.
type looks struct {
	mu      sync.Mutex
	changed map[uint64]look
}

// look is what of an inode was changed; nil for what was not.
type look struct{ mode, uid, gid *uint32 }

func newLooks() *looks { return &looks{changed: map[uint64]look{}} }

// apply makes the attributes of an inode what they were changed to.
func (l *looks) apply(ino uint64, out *fuse.Attr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.changed[ino]
	if k.mode != nil {
		out.Mode = out.Mode&unix.S_IFMT | *k.mode
	}
	if k.uid != nil {
		out.Uid = *k.uid
	}
	if k.gid != nil {
		out.Gid = *k.gid
	}
}

// change does what a request asks for, if it is about mode or owner. All else has no
// effect and is no error: shells truncate what they write to. The kernel has tested the
// rights.
func (l *looks) change(ino uint64, in *fuse.SetAttrIn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.changed[ino]
	if in.Valid&fuse.FATTR_MODE != 0 {
		mode := in.Mode &^ unix.S_IFMT
		k.mode = &mode
	}
	if in.Valid&fuse.FATTR_UID != 0 {
		uid := in.Uid
		k.uid = &uid
	}
	if in.Valid&fuse.FATTR_GID != 0 {
		gid := in.Gid
		k.gid = &gid
	}
	if k != (look{}) {
		l.changed[ino] = k
	}
}
