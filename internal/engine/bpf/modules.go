package bpf

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/kernelabi"
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
	sock *os.File
	done chan struct{}
}

// watchModules calls fn, in one goroutine, whenever a device-mapper module was added.
func watchModules(fn func()) (*moduleWatch, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("watch modules: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: ueventGroup}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watch modules: %w", err)
	}
	w := &moduleWatch{sock: os.NewFile(uintptr(fd), "uevents"), done: make(chan struct{})}
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
		case err != nil:
			return
		case isDeviceMapper(buf[:n]):
			fn()
		}
	}
}

// isDeviceMapper reports whether a uevent says that dm_mod or dm_verity was added.
func isDeviceMapper(msg []byte) bool {
	head, _, _ := strings.Cut(string(msg), "\x00")
	return head == "add@/module/dm_mod" || head == "add@/module/dm_verity"
}

func (w *moduleWatch) close() error {
	err := w.sock.Close()
	<-w.done
	return err
}

// modulesChanged learns where a newly loaded driver keeps its facts. Until then
// its volumes have none.
func (e *Engine) modulesChanged() {
	defer releaseTypes()
	for range moduleTries {
		if err := e.refreshWalk(btf.NewCache()); err != nil {
			e.log.Error("dm-verity facts are not available", "error", err)
			return
		}
		var w ipeWalk
		if err := e.maps[mapWalk].Lookup(slot, &w); err == nil && w.Ready != 0 {
			break
		}
		time.Sleep(moduleSettle)
	}
	e.reprobe()
}

// reprobe lowers the active policy again if what the kernel can provide changed.
func (e *Engine) reprobe() {
	report := kernelabi.Probe()
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.Unavailable()
	e.report = report
	if e.active == nil || e.Unavailable() == before {
		return
	}
	if err := e.activate(*e.active); err != nil {
		e.log.Error("the active policy was not adapted to a new driver", "error", err)
	}
}
