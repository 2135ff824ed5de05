// Package fs shows the life cycle of policies as files, in the tree that the
// kernel's IPE has in securityfs (security/ipe/fs.c, policy_fs.c), so that what was
// written for /sys/kernel/security/ipe works when only the path is changed. The
// files are those of a FUSE file system; what they do is package control's.
//
// Each write(2) is one transaction, and its errno is the kernel's. Who may write is
// decided by who opened: CAP_MAC_ADMIN in the initial user namespace at that time,
// so that a descriptor that is handed on keeps its rights.
//
// # A server that hangs
//
// What a killed server leaves is ENOTCONN to everybody. One that hangs would hang its
// users as well, uninterruptibly in part; so a second process watches it, see Guard.
//
// # Differences
//
// FUSE leaves some, which calls_guest_test.go lists. The chief ones: lseek(2) succeeds,
// where securityfs has ESPIPE; a write of no bytes at all is answered by the kernel,
// with success; data that cannot be read is EFAULT also to those without the
// capability; the pieces of writev(2) arrive as one write, and writes of more than
// 1 MiB, which no policy reaches, in pieces. (A file that refuses to seek would refuse
// pread(2), too, which securityfs knows.)
package fs

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control"
)

const (
	// maxWrite is how much of one write(2) arrives as one request, in bytes: the
	// most that kernels allow unless told otherwise, and 16 times the longest policy.
	maxWrite = 1 << 20
	// maxInflight bounds the memory of requests that wait, in bytes.
	maxInflight = 32 << 20
)

// ErrMounted says that a living FUSE file system is mounted there already.
var ErrMounted = errors.New("a file system that is in use is mounted there")

// Server is a mounted tree.
type Server struct {
	dir    string
	device uint64
	fuse   *fuse.Server
	once   sync.Once
	// closing: what ends now was to end.
	closing atomic.Bool
}

// Mount mounts the tree of c on a directory, which stands for the kernel's
// /sys/kernel/security/ipe and is made if needed. What a killed daemon has left
// mounted there is unmounted first. Accesses wait until Serve is called. log gets
// what goes wrong between the kernel and this process; nil discards it.
//
// Errors wrap ErrMounted, or what the system says; it needs CAP_SYS_ADMIN.
func Mount(dir string, c *control.Control, log *slog.Logger) (*Server, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("mount control tree: %w", err)
	}
	if err := prepare(dir); err != nil {
		return nil, fmt.Errorf("mount control tree on %s: %w", dir, err)
	}
	s, err := mount(dir, c, log)
	if err != nil {
		return nil, fmt.Errorf("mount control tree on %s: %w", dir, err)
	}
	return s, nil
}

// mount does itself what the library could: the library's own descriptor would be
// inherited by child processes, which would keep the mount alive, and hanging, after
// this process was killed.
func mount(dir string, c *control.Control, log *slog.Logger) (*Server, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/fuse", Err: err}
	}
	options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0,allow_other,default_permissions,max_read=%d",
		fd, unix.S_IFDIR, maxWrite)
	if err := unix.Mount("ipe", dir, "fuse.ipe", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
		return nil, errors.Join(os.NewSyscallError("mount", err), unix.Close(fd))
	}
	s := &Server{dir: dir}
	s.fuse, err = fuse.NewServer(uncached{fs.NewNodeFS(newTree(c), &fs.Options{NullPermissions: true})},
		fmt.Sprintf("/dev/fd/%d", fd), &fuse.MountOptions{
			Name: "ipe", MaxWrite: maxWrite, MaxInflightRequestBytes: maxInflight, DisableXAttrs: true,
			Logger: slog.NewLogLogger(unlessGone{log.Handler(), &s.closing}, slog.LevelWarn),
		})
	if err != nil {
		return nil, errors.Join(err, unix.Unmount(dir, detach))
	}
	if s.device, err = device(dir); err != nil {
		return nil, errors.Join(err, unix.Unmount(dir, detach))
	}
	return s, nil
}

// Serve answers until Close is called or somebody unmounts the tree.
func (s *Server) Serve() { s.once.Do(s.fuse.Serve) }

// Close unmounts the tree, also if files of it are open; using them is ENOTCONN from
// then on. If something else is mounted there by now, it is left alone.
func (s *Server) Close() error {
	if dev, err := device(s.dir); err != nil || dev != s.device {
		return nil
	}
	s.closing.Store(true)
	if err := unix.Unmount(s.dir, detach); err != nil {
		s.closing.Store(false)
		return fmt.Errorf("unmount control tree from %s: %w", s.dir, err)
	}
	s.Serve() // which waits for the end, as there is nothing more to answer
	return nil
}

// detach cuts the connection, so that no access waits for an answer, and takes the
// tree out of sight at once.
const detach = unix.MNT_FORCE | unix.MNT_DETACH

// device identifies the file system that is mounted on dir, without asking it.
func device(dir string) (uint64, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_STATX_DONT_SYNC, 0, &st)
	if err != nil {
		return 0, &os.PathError{Op: "statx", Path: dir, Err: err}
	}
	return unix.Mkdev(st.Dev_major, st.Dev_minor), nil
}

// prepare makes dir a directory that can be mounted on.
func prepare(dir string) error {
	for {
		var fs unix.Statfs_t
		switch err := unix.Statfs(dir, &fs); {
		case errors.Is(err, unix.ENOTCONN):
			// Its server is gone. There may be another below it.
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				return os.NewSyscallError("unmount what was left", err)
			}
		case errors.Is(err, unix.ENOENT):
			return os.MkdirAll(dir, 0o755)
		case err != nil:
			return &os.PathError{Op: "statfs", Path: dir, Err: err}
		case fs.Type == unix.FUSE_SUPER_MAGIC:
			return ErrMounted
		default:
			return nil
		}
	}
}
