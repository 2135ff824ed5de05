//go:build linux

package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/eintr"
	"github.com/ipe-linux/ipe/internal/lab/vm/wire"
)

// mounts are made in this order; the options are mount(2) data.
var mounts = []struct{ kind, target, options string }{
	{"devtmpfs", "/dev", ""},
	{"tmpfs", "/dev/shm", "mode=1777"},
	{"proc", "/proc", ""},
	{"sysfs", "/sys", ""},
	{"securityfs", "/sys/kernel/security", ""},
	{"bpf", "/sys/fs/bpf", "mode=0700"},
	{"tmpfs", "/tmp", "mode=1777"},
	{"tmpfs", "/run", "mode=0755"},
}

func mountAll() error {
	for _, m := range mounts {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
		if err := unix.Mount(m.kind, m.target, m.kind, 0, m.options); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return nil
}

// openLine opens a serial line and turns off all that a terminal does to bytes.
func openLine(name string) (*os.File, error) {
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	tio := unix.Termios{
		Cflag:  unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200,
		Ispeed: unix.B115200,
		Ospeed: unix.B115200,
	}
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &tio); err != nil {
		return nil, fmt.Errorf("set %s to raw mode: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// drain waits until the last byte has left for the host (tcdrain).
func drain(line *os.File) error {
	err := eintr.Again(func() error { return unix.IoctlSetInt(int(line.Fd()), unix.TCSBRK, 1) })
	if err != nil {
		return fmt.Errorf("drain %s: %w", line.Name(), err)
	}
	return nil
}

func loadModule(m wire.Module) error {
	f, err := os.Open(m.Path)
	if err != nil {
		return fmt.Errorf("load module: %w", err)
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), m.Params, 0); err != nil {
		return fmt.Errorf("load module %s: %w", m.Path, err)
	}
	return nil
}

// loopbackUp brings up the network interface lo, as any init system does.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	return nil
}

// logEverything lifts the limit on how often audit records reach the kernel log;
// it would drop most of those that a test is about.
func logEverything() error {
	if err := os.WriteFile("/proc/sys/kernel/printk_ratelimit", []byte("0"), 0); err != nil {
		return fmt.Errorf("lift log limit: %w", err)
	}
	return nil
}
