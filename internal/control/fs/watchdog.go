package fs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// WatchdogName is what a process that is to call Watchdog is called (its argument 0).
const WatchdogName = "iped-watchdog"

// A watchdog reads beats from its standard input: the number of the device that is
// mounted, in eight bytes. It writes a byte to its standard output before it cuts a
// connection.
const beatLen = 8

// Watchdog is the main function of a process that cuts the connection to a tree whose
// server is hung, so that whoever uses it gets an error instead of waiting: if it hears
// nothing from that server for a while. It ends with the server. The arguments are the
// directory and how long to wait; it returns an exit status.
func Watchdog(args []string) int {
	// For ps(1), which would show how the program was called to begin with.
	_ = os.WriteFile("/proc/self/comm", []byte(WatchdogName), 0)
	if len(args) != 2 {
		fmt.Fprintf(os.Stderr, "%s: is part of iped and not to be called\n", WatchdogName)
		return 2
	}
	// A service manager asks all processes of a service to end, and this one would be the
	// first. It ends with its server.
	signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	debug.FreeOSMemory() // of what the packages of the whole program took to begin with
	patience, err := time.ParseDuration(args[1])
	if err == nil {
		err = watch(args[0], patience)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: error: %v\n", WatchdogName, err)
		return 1
	}
	return 0
}

// steps are what patience is counted in. One long moment in which the whole machine
// stood still is one step, and the server has the rest to be heard.
const steps = 10

func watch(dir string, patience time.Duration) error {
	var device uint64 // 0 while there is nothing to cut
	for silent := 0; ; {
		heard, ok, err := hear(patience / steps)
		switch {
		case errors.Is(err, os.ErrClosed):
			return nil
		case err != nil:
			return err
		case ok:
			device, silent = heard, 0
			continue
		}
		if silent++; silent < steps || device == 0 {
			continue
		}
		if err := cut(dir, device); err != nil {
			return err
		}
		device = 0
	}
}

// hear waits for the next beat, which it returns, or for the end of its time. The error
// is os.ErrClosed when the server has ended.
func hear(d time.Duration) (device uint64, ok bool, err error) {
	fds := []unix.PollFd{{Fd: 0, Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(d.Milliseconds()))
	if errors.Is(err, unix.EINTR) || err == nil && n == 0 {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, os.NewSyscallError("poll", err)
	}
	var beat [beatLen]byte
	switch n, err := unix.Read(0, beat[:]); {
	case err != nil:
		return 0, false, os.NewSyscallError("read", err)
	case n < beatLen:
		return 0, false, os.ErrClosed
	}
	return binary.LittleEndian.Uint64(beat[:]), true, nil
}

// cut ends the connection of the file system on dir, if it is that device. It stays
// mounted, as that of a killed server does: writing to what is below would be no error.
func cut(dir string, want uint64) error {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	here := fmt.Sprintf("/proc/self/fd/%d", fd)
	if dev, err := device(here); err != nil || dev != want {
		return err
	}
	if _, err := unix.Write(1, []byte{'!'}); err != nil {
		return os.NewSyscallError("write", err)
	}
	// The descriptor keeps it mounted.
	if err := unix.Unmount(here, unix.MNT_FORCE); err != nil && !errors.Is(err, unix.EBUSY) {
		return os.NewSyscallError("umount", err)
	}
	return nil
}
