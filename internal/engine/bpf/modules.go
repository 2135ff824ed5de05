package bpf

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// A module announces itself before it is initialised; its device number may take
// this long to appear.
const (
	moduleSettle = 50 * time.Millisecond
	moduleTries  = 20
)

// ueventGroup is the multicast group on which the kernel itself speaks.
const ueventGroup = 1

// moduleWatch listens for kernel modules that come and go.
type moduleWatch struct {
	log  *slog.Logger
	sock *os.File
	done chan struct{}
}

// watchModules calls fn, in one goroutine, whenever a driver that facts come from came
// or went.
func watchModules(log *slog.Logger, fn func()) (*moduleWatch, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("watch modules: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: ueventGroup}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watch modules: %w", err)
	}
	w := &moduleWatch{log: log, sock: os.NewFile(uintptr(fd), "uevents"), done: make(chan struct{})}
	go w.run(fn)
	return w, nil
}

func (w *moduleWatch) run(fn func()) {
	defer close(w.done)
	buf := make([]byte, 8192)
	for {
		n, err := w.sock.Read(buf)
		switch {
		case errors.Is(err, unix.ENOBUFS): // messages were lost; one may have been ours
			fn()
		case errors.Is(err, os.ErrClosed):
			return
		case err != nil:
			w.log.Error("modules are no longer watched: dm-verity is not noticed if it is loaded later", "error", err)
			return
		case isFactSource(buf[:n]):
			fn()
		}
	}
}

// isFactSource reports whether a uevent says that a driver that facts come from came or
// went.
func isFactSource(msg []byte) bool {
	head, _, _ := strings.Cut(string(msg), "\x00")
	_, module, _ := strings.Cut(head, "@")
	switch module {
	case "/module/dm_mod", "/module/dm_verity", "/module/overlay", "/module/btrfs", "/module/ext4":
		return true
	}
	return false
}

func (w *moduleWatch) close() error {
	err := w.sock.Close()
	<-w.done
	return err
}

// modulesChanged learns where a newly loaded driver keeps its facts. Until then its
// volumes have none.
func (e *Engine) modulesChanged() {
	defer releaseTypes()
	types := btf.NewCache()
	for range moduleTries {
		if e.refreshWalk(types) || e.noVolumes.Load() {
			break
		}
		time.Sleep(moduleSettle)
	}
	report := (&abi.System{Types: types.Kernel, Addresses: symbols}).Probe()
	e.report.Store(&report)
	if err := e.relower(); err != nil {
		e.log.Error("the active policy was not adapted to a new driver", "error", err)
	}
}

// relower makes the tables of the active policy anew if they were made for a kernel
// that provided something else.
func (e *Engine) relower() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	meta, ok, err := e.meta()
	if err != nil || !ok || meta.Unavailable == e.Unavailable() || e.active == nil || e.active.ID != meta.ID {
		return err
	}
	return e.replace(*e.active, meta.Generation)
}
