package fs

import (
	"context"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/errno"
)

// inode is a file of the tree. To those who ask, its size is 0, as in securityfs.
type inode struct {
	fs.Inode
	c     *control.Control
	place control.Place
	file  file
	looks *looks
	born  time.Time
}

var (
	_ fs.NodeOpener    = (*inode)(nil)
	_ fs.NodeGetattrer = (*inode)(nil)
	_ fs.NodeSetattrer = (*inode)(nil)
)

// attr is what the kernel keeps of it, with a size that nobody sees: see splice.go.
func (n *inode) attr(out *fuse.Attr) {
	out.Mode = unix.S_IFREG | n.file.mode
	out.Nlink = 1
	out.Size = keptSize
	setTime(out, n.born)
}

// Getattr implements fs.NodeGetattrer.
func (n *inode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.look(out)
	n.keepSize()
	out.Size = 0
	return 0
}

// Setattr implements fs.NodeSetattrer. Nobody sees its answer but the kernel.
func (n *inode) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	n.looks.change(n.StableAttr().Ino, in)
	n.look(out)
	return 0
}

func (n *inode) look(out *fuse.AttrOut) {
	n.attr(&out.Attr)
	n.looks.apply(n.StableAttr().Ino, &out.Attr)
}

// Open implements fs.NodeOpener. It fails for nobody: the kernel has tested the
// mode, and a lack of rights shows when something is written.
func (n *inode) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	h := &handle{inode: n, appends: flags&unix.O_APPEND != 0}
	if flags&unix.O_ACCMODE != unix.O_RDONLY {
		h.mayChange = openerMayChange(ctx)
	}
	return h, fuse.FOPEN_DIRECT_IO, 0
}

// handle is an open file description.
type handle struct {
	inode     *inode
	mayChange bool
	appends   bool

	mu  sync.Mutex
	pos position
}

var (
	_ fs.FileReader  = (*handle)(nil)
	_ fs.FileWriter  = (*handle)(nil)
	_ fs.FileFsyncer = (*handle)(nil)
	_ fs.FileLseeker = (*handle)(nil)
)

// Read implements fs.FileReader. What is there is asked for each time.
func (h *handle) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n := h.inode
	if n.file.read == nil {
		return nil, unix.EINVAL
	}
	content, err := n.file.read(n.c, n.place)
	if err != nil {
		return nil, errno.Of(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	from := min(h.pos.of(off), int64(len(content)))
	part := content[from:min(from+int64(len(dest)), int64(len(content)))]
	h.pos.read(off, len(part))
	return fuse.ReadResultData(part), 0
}

// Write implements fs.FileWriter: one transaction, wherever it is written to.
func (h *handle) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	n := h.inode
	if n.file.write == nil {
		return 0, unix.EINVAL
	}
	who := writer(ctx)
	if !h.mayChange {
		if n.file.loads {
			n.c.By(who).RefuseLoad(api.ErrPrivilege)
		}
		return 0, unix.EPERM
	}
	if err := n.file.write(n.c.By(who), n.place.By(who), data); err != nil {
		return 0, errno.Of(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pos.wrote(off, len(data), h.appends)
	return uint32(len(data)), 0
}

// Fsync implements fs.FileFsyncer. Files of securityfs have nothing to sync.
func (*handle) Fsync(context.Context, uint32) syscall.Errno { return unix.EINVAL }

// Lseek implements fs.FileLseeker. It is asked for data and holes alone; the kernel
// does the rest by itself.
func (*handle) Lseek(context.Context, uint64, uint32) (uint64, syscall.Errno) {
	return 0, unix.ESPIPE
}

// position follows the file offset, which the kernel advances at a write because
// FUSE says so, and which securityfs leaves alone: after a write through the same
// descriptor, a read must go on where the last read ended.
type position struct {
	// next is the offset of the next read(2) as the kernel counts, should is what it
	// would be had nothing been written.
	next, should int64
}

// of returns where to read. Any other offset than the next is one that pread(2) or
// lseek(2) named.
func (p *position) of(off int64) int64 {
	if off == p.next {
		return p.should
	}
	return off
}

func (p *position) read(off int64, n int) {
	if off == p.next {
		p.next, p.should = p.next+int64(n), p.should+int64(n)
	}
}

func (p *position) wrote(off int64, n int, appends bool) {
	if appends || off == p.next {
		p.next = off + int64(n)
	}
}
