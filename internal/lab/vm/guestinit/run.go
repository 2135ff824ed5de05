//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/vm/wire"
)

// drainTime is how long output is awaited from descendants that outlive the command; the
// time begins when all that was written has been sent. It is looked at in steps.
const (
	drainTime = 200 * time.Millisecond
	drainStep = 10 * time.Millisecond
)

// startFailed is what shells answer when a command cannot be executed.
const startFailed = 126

// run starts the command and reaps every process until it has ended. It gives the
// command's exit status, or 128 and the signal's number, as a shell would. A
// command that cannot be started is not an error of the guest: it may be the very
// denial that is being tested.
func run(spec wire.Spec, frames *wire.Writer) (int, error) {
	outW, out, err := carry(frames, wire.Stdout)
	if err != nil {
		return 0, err
	}
	errW, carriers := outW, []*carrier{out}
	if !spec.Merge {
		if errW, out, err = carry(frames, wire.Stderr); err != nil {
			return 0, err
		}
		carriers = append(carriers, out)
	}
	pid, err := start(spec, outW, errW)
	outW.Close()
	errW.Close()
	if err != nil {
		return startFailed, frames.Write(wire.Stderr, []byte("guestinit: "+err.Error()+"\n"))
	}
	status, err := reap(pid)
	if err != nil {
		return 0, err
	}
	awaitQuiet(carriers)
	return status, nil
}

// carrier sends what comes through a pipe.
type carrier struct {
	pipe *os.File
	// waits while there is nothing to send.
	waits, ended atomic.Bool
}

// carry makes a pipe whose content becomes frames of the kind.
func carry(frames *wire.Writer, kind wire.Kind) (*os.File, *carrier, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	c := &carrier{pipe: r}
	go func() {
		defer c.ended.Store(true)
		buf := make([]byte, 32<<10)
		for {
			c.waits.Store(true)
			n, err := r.Read(buf)
			c.waits.Store(false)
			if n > 0 && frames.Write(kind, buf[:n]) != nil {
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return w, c, nil
}

// quiet reports whether all that was written to the pipe has been sent.
func (c *carrier) quiet() bool {
	if c.ended.Load() {
		return true
	}
	conn, err := c.pipe.SyscallConn()
	if err != nil {
		return true
	}
	left := 0
	err = conn.Control(func(fd uintptr) { left, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return err != nil || left == 0 && c.waits.Load()
}

// awaitQuiet returns when nothing more will come, or nothing has come for a while.
func awaitQuiet(all []*carrier) {
	for quiet := time.Duration(0); quiet < drainTime; time.Sleep(drainStep) {
		if !slices.ContainsFunc(all, func(c *carrier) bool { return !c.ended.Load() }) {
			return
		}
		if quiet += drainStep; slices.ContainsFunc(all, func(c *carrier) bool { return !c.quiet() }) {
			quiet = 0
		}
	}
}

// start is fork and exec in a new session. It does not use os.Process, which would
// compete with reap for the exit status.
func start(spec wire.Spec, stdout, stderr *os.File) (int, error) {
	path, err := lookUp(spec)
	if err != nil {
		return 0, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	pid, err := syscall.ForkExec(path, spec.Args, &syscall.ProcAttr{
		Dir:   spec.Dir,
		Env:   spec.Env,
		Files: []uintptr{null.Fd(), stdout.Fd(), stderr.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", path, err)
	}
	return pid, nil
}

// lookUp finds the command in the PATH of the spec.
func lookUp(spec wire.Spec) (string, error) {
	name := spec.Args[0]
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, e := range spec.Env {
		list, ok := strings.CutPrefix(e, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			path := filepath.Join(dir, name)
			if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("start %s: %w", name, exec.ErrNotFound)
}

// reap collects the status of every child, own or inherited, until pid has ended.
func reap(pid int) (int, error) {
	for {
		var ws syscall.WaitStatus
		got, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0, fmt.Errorf("wait: %w", err)
		case got != pid:
		case ws.Signaled():
			return 128 + int(ws.Signal()), nil
		case ws.Exited():
			return ws.ExitStatus(), nil
		}
	}
}
