//go:build linux

package main

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm/wire"
)

// slowLine takes longer for each frame than is waited for descendants of the command.
type slowLine struct{ bytes.Buffer }

func (l *slowLine) Write(p []byte) (int, error) {
	time.Sleep(drainTime + drainTime/2)
	return l.Buffer.Write(p)
}

// TestSlowLine: all that the command wrote is sent, however long that takes, and what a
// descendant keeps open is not waited for.
func TestSlowLine(t *testing.T) {
	var line slowLine
	frames, err := wire.NewWriter(&line)
	if err != nil {
		t.Fatal(err)
	}
	status, err := run(wire.Spec{Args: []string{"/bin/sh", "-c", "sleep 600 & echo $! >&2; seq 20000"}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/"}, frames)
	if err != nil || status != 0 {
		t.Fatal(status, err)
	}
	said := map[wire.Kind]*strings.Builder{wire.Stdout: {}, wire.Stderr: {}}
	r, err := wire.NewReader(&line)
	for err == nil {
		var kind wire.Kind
		var payload []byte
		if kind, payload, err = r.Next(); err == nil {
			said[kind].Write(payload)
		}
	}
	endSleeper(t, said[wire.Stderr].String())
	if got := strings.Fields(said[wire.Stdout].String()); !errors.Is(err, io.EOF) || len(got) != 20000 || got[19999] != "20000" {
		t.Errorf("%d lines came, %v", len(got), err)
	}
}

func endSleeper(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(pid))
	if err != nil || n <= 1 {
		t.Fatalf("%q, %v", pid, err)
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}
