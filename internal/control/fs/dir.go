package fs

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
)

// node is what dir and handle's inode have in common.
type node interface {
	fs.InodeEmbedder
	attr(out *fuse.Attr)
}

// child is an entry of a directory. Numbers of inodes are never used again, so that
// the kernel tells a policy from a later one of the same name.
type child struct {
	name string
	ino  uint64
	node node
}

// children are what is in a directory at this moment.
type children interface {
	list() []child
	find(name string) (child, bool)
	// subdirs is the number of directories in it.
	subdirs() int
}

// dir is a directory that only the life cycle of policies changes.
type dir struct {
	fs.Inode
	children
	looks *looks
	born  time.Time
}

var (
	_ fs.NodeLookuper  = (*dir)(nil)
	_ fs.NodeReaddirer = (*dir)(nil)
	_ fs.NodeGetattrer = (*dir)(nil)
	_ fs.NodeSetattrer = (*dir)(nil)
	_ fs.NodeCreater   = (*dir)(nil)
	_ fs.NodeMkdirer   = (*dir)(nil)
	_ fs.NodeMknoder   = (*dir)(nil)
	_ fs.NodeLinker    = (*dir)(nil)
	_ fs.NodeSymlinker = (*dir)(nil)
	_ fs.NodeUnlinker  = (*dir)(nil)
	_ fs.NodeRmdirer   = (*dir)(nil)
	_ fs.NodeRenamer   = (*dir)(nil)
)

// Inode numbers: 1 is the root, the next are in it; each policy has a block.
const (
	inoPolicies = 2
	inoTop      = 3
	inoBlock    = 16
)

// newTree returns the root.
func newTree(c *control.Control) *dir {
	born := time.Now()
	looks := newLooks()
	return &dir{born: born, looks: looks, children: &top{policies{c, looks, born}}}
}

// Nodes are made anew for each answer; those that the kernel knows are found again
// by their inode numbers.

// top is what is in the root.
type top struct{ policies }

func (t *top) list() []child {
	all := []child{{"policies", inoPolicies, &dir{born: t.born, looks: t.looks, children: &t.policies}}}
	for i, f := range topFiles() {
		all = append(all, child{f.name, inoTop + uint64(i), &inode{c: t.c, file: f, looks: t.looks, born: t.born}})
	}
	return all
}

func (t *top) find(name string) (child, bool) { return named(t.list(), name) }

func (*top) subdirs() int { return 1 }

func named(all []child, name string) (child, bool) {
	i := slices.IndexFunc(all, func(c child) bool { return c.name == name })
	if i < 0 {
		return child{}, false
	}
	return all[i], true
}

// policies has a directory for each policy.
type policies struct {
	c     *control.Control
	looks *looks
	born  time.Time
}

func (p *policies) list() []child {
	var all []child
	for _, place := range p.c.Places() {
		all = append(all, p.child(place))
	}
	return all
}

func (p *policies) find(name string) (child, bool) {
	place, err := p.c.Place(name)
	if err != nil {
		return child{}, false
	}
	return p.child(place), true
}

func (p *policies) subdirs() int { return len(p.c.Places()) }

func (p *policies) child(place control.Place) child {
	return child{place.Name(), place.ID() * inoBlock, &dir{born: p.born, looks: p.looks, children: &policy{p, place}}}
}

// policy has the files of one policy, until that is deleted.
type policy struct {
	*policies
	place control.Place
}

func (p *policy) list() []child {
	if _, err := p.place.Info(); err != nil {
		return nil
	}
	var all []child
	for i, f := range policyFiles() {
		n := &inode{c: p.c, place: p.place, file: f, looks: p.looks, born: p.born}
		all = append(all, child{f.name, p.place.ID()*inoBlock + 1 + uint64(i), n})
	}
	return all
}

func (p *policy) find(name string) (child, bool) { return named(p.list(), name) }

func (*policy) subdirs() int { return 0 }

func (d *dir) attr(out *fuse.Attr) {
	out.Mode = unix.S_IFDIR | 0o755
	out.Nlink = uint32(2 + d.subdirs())
	setTime(out, d.born)
}

func setTime(out *fuse.Attr, t time.Time) { out.SetTimes(&t, &t, &t) }

// Lookup implements fs.NodeLookuper.
func (d *dir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	// A policy can have the longest name that securityfs looks up.
	if errors.Is(api.CheckName(name), api.ErrNameTooLong) {
		return nil, unix.ENAMETOOLONG
	}
	c, ok := d.find(name)
	if !ok {
		return nil, unix.ENOENT
	}
	c.node.attr(&out.Attr)
	d.looks.apply(c.ino, &out.Attr)
	return d.NewInode(ctx, c.node, fs.StableAttr{Mode: out.Mode & unix.S_IFMT, Ino: c.ino}), 0
}

// Readdir implements fs.NodeReaddirer.
func (d *dir) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	var entries []fuse.DirEntry
	for _, c := range d.list() {
		var a fuse.Attr
		c.node.attr(&a)
		entries = append(entries, fuse.DirEntry{Name: c.name, Mode: a.Mode & unix.S_IFMT, Ino: c.ino})
	}
	return fs.NewListDirStream(entries), 0
}

// Getattr implements fs.NodeGetattrer.
func (d *dir) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	d.attr(&out.Attr)
	d.looks.apply(d.StableAttr().Ino, &out.Attr)
	return 0
}

// Setattr implements fs.NodeSetattrer.
func (d *dir) Setattr(ctx context.Context, h fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	d.looks.change(d.StableAttr().Ino, in)
	return d.Getattr(ctx, h, out)
}

// Users make, remove and rename nothing. The numbers are those of a file system
// without the operation: only a missing create is EACCES.

// Create implements fs.NodeCreater.
func (*dir) Create(context.Context, string, uint32, uint32, *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	return nil, nil, 0, unix.EACCES
}

// Mkdir implements fs.NodeMkdirer.
func (*dir) Mkdir(context.Context, string, uint32, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, unix.EPERM
}

// Mknod implements fs.NodeMknoder. Without an operation for it, the kernel makes
// regular files by create.
func (*dir) Mknod(_ context.Context, _ string, mode, _ uint32, _ *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if mode&unix.S_IFMT == unix.S_IFREG {
		return nil, unix.EACCES
	}
	return nil, unix.EPERM
}

// Link implements fs.NodeLinker.
func (*dir) Link(context.Context, fs.InodeEmbedder, string, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, unix.EPERM
}

// Symlink implements fs.NodeSymlinker.
func (*dir) Symlink(context.Context, string, string, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, unix.EPERM
}

// Unlink implements fs.NodeUnlinker.
func (*dir) Unlink(context.Context, string) syscall.Errno { return unix.EPERM }

// Rmdir implements fs.NodeRmdirer.
func (*dir) Rmdir(context.Context, string) syscall.Errno { return unix.EPERM }

// Rename implements fs.NodeRenamer.
func (*dir) Rename(context.Context, string, fs.InodeEmbedder, string, uint32) syscall.Errno {
	return unix.EPERM
}
