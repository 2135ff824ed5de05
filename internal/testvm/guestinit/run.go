//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ipe-linux/ipe/internal/testvm/wire"
)

// drainTime is how long output is awaited from descendants that outlive the command.
const drainTime = 200 * time.Millisecond

// startFailed is what shells answer when a command cannot be executed.
const startFailed = 126

// run starts the command and reaps every process until it has ended. It gives the
// command's exit status, or 128 and the signal's number, as a shell would. A
// command that cannot be started is not an error of the guest: it may be the very
// denial that is being tested.
func run(spec wire.Spec, frames *wire.Writer) (int, error) {
	var copies sync.WaitGroup
	outW, err := carry(frames, wire.Stdout, &copies)
	if err != nil {
		return 0, err
	}
	errW := outW
	if !spec.Merge {
		if errW, err = carry(frames, wire.Stderr, &copies); err != nil {
			return 0, err
		}
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
	waitAtMost(&copies, drainTime)
	return status, nil
}

// carry makes a pipe whose content becomes frames of the kind.
func carry(frames *wire.Writer, kind wire.Kind, copies *sync.WaitGroup) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	copies.Go(func() {
		buf := make([]byte, 32<<10)
		for {
			n, err := r.Read(buf)
			if n > 0 && frames.Write(kind, buf[:n]) != nil {
				return
			}
			if err != nil {
				return
			}
		}
	})
	return w, nil
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

// waitAtMost waits for the group, but no longer than d.
func waitAtMost(g *sync.WaitGroup, d time.Duration) {
	done := make(chan struct{})
	go func() {
		g.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(d):
	}
}
