package peer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/audit"
)

func TestSubjectOf(t *testing.T) {
	got := SubjectOf(uint32(os.Getpid()))
	for file, n := range map[string]uint32{"loginuid": got.AUID, "sessionid": got.Session} {
		text, err := os.ReadFile("/proc/self/" + file)
		if errors.Is(err, os.ErrNotExist) {
			text = []byte("4294967295")
		}
		if fmt.Sprint(n) != strings.TrimSpace(string(text)) {
			t.Errorf("%s: %d, want %s", file, n, text)
		}
	}
	for _, pid := range []uint32{0, 1 << 30, 1 << 31} {
		if got := SubjectOf(pid); got.AUID != audit.Unset || got.Session != audit.Unset {
			t.Errorf("process %d: %+v", pid, got)
		}
	}
}

// TestUnseenMayNothing: what cannot be looked at has no rights.
func TestUnseenMayNothing(t *testing.T) {
	for pid, want := range map[uint32]error{0: ErrUnseen, 1 << 31: ErrUnseen, 1 << 30: ErrEnded} {
		if err := Lack(pid); !errors.Is(err, want) {
			t.Errorf("process %d: %v, want %v", pid, err, want)
		}
	}
}

// TestEnded: what is held of a process that has ended is nobody else's, and a number
// that was given anew is noticed.
func TestEnded(t *testing.T) {
	before, err := now()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := hold(int32(cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	after, err := now()
	if err != nil {
		t.Fatal(err)
	}
	if start, err := p.start(); err != nil || start < before || start > after {
		t.Errorf("started at %d, %v; want %d to %d", start, err, before, after)
	}
	if _, err := holdOlder(int32(cmd.Process.Pid), before-1); !errors.Is(err, ErrEnded) {
		t.Errorf("a process that began after the connection: %v, want ErrEnded", err)
	}
	old, err := holdOlder(int32(cmd.Process.Pid), after)
	if err != nil {
		t.Fatal(err)
	}
	old.close()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it was not killed")
	}
	if err := p.lack(); !errors.Is(err, ErrUnseen) {
		t.Errorf("rights of a process that has ended: %v, want ErrUnseen", err)
	}
}

func TestEffective(t *testing.T) {
	for text, want := range map[string]uint64{
		"Name:\tx\nCapEff:\t000001ffffffffff\n":              1<<41 - 1,
		"Name:\tCapEff:\\nCapEff:\t1\nCapEff:\t0\nCapEff: 2": 0,
		"CapInh:\t1\nCapEff:\t0000000200000000\n":            1 << 33,
	} {
		if got, err := effective([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %x, %v; want %x", text, got, err, want)
		}
	}
	for _, text := range []string{"", "CapEff:\n", "CapEff:\tx\n", "CapEff:\t-1\n", "CapEff:\t10000000000000000\n", "xCapEff:\t1\n"} {
		if got, err := effective([]byte(text)); err == nil {
			t.Errorf("%q: %x, want an error", text, got)
		}
	}
}

const someStat = "7 (a) b)\n R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 1234 20"

func FuzzStat(f *testing.F) {
	f.Add([]byte(someStat))
	f.Add([]byte(""))
	f.Add([]byte("7 (x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := startTime(b); err == nil && !strings.Contains(string(b), fmt.Sprint(uint64(n))) {
			t.Errorf("%q: %d", b, n)
		}
		if n, err := effective(b); err == nil && !strings.Contains(strings.ToLower(string(b)), fmt.Sprintf("%x", n)) {
			t.Errorf("%q: %x", b, n)
		}
	})
}

func TestStartTime(t *testing.T) {
	if got, err := startTime([]byte(someStat)); err != nil || got != 1234 {
		t.Errorf("start %d, %v; want 1234", got, err)
	}
	if got, err := startTime([]byte("7 (a) R 1 2 3")); err == nil {
		t.Errorf("start %d of a short line", got)
	}
}
