//go:build guest

package bpf_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// TestEngineLeavesWhatRuns: before there is an active policy nothing is denied, and a
// program that runs by then goes on, code that it has mapped included. It cannot be
// started again.
func TestEngineLeavesWhatRuns(t *testing.T) {
	if os.Getenv("ECHO") != "" {
		if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
			t.Fatal(err)
		}
		os.Exit(0)
	}
	early := t.TempDir() + "/early" // on tmpfs, of which nothing is known
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(early, program, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := mapAnonymous(); err != nil {
		t.Fatalf("before the engine: %v", err)
	}
	cmd := exec.Command(early, "-test.run=^TestEngineLeavesWhatRuns$")
	cmd.Env = append(os.Environ(), "ECHO=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("before the engine: %v", err)
	}
	answers := bufio.NewReader(out)
	repeats(t, in, answers, "before the engine")

	e := open(t)
	activate(t, e, enforcing, "DEFAULT action=DENY", "op=EXECUTE boot_verified=TRUE action=ALLOW")
	repeats(t, in, answers, "under the policy")
	if err := exec.Command(early).Run(); !errors.Is(err, unix.EACCES) {
		t.Errorf("started again: %v, want EACCES", err)
	}
	if err := mapAnonymous(); !errors.Is(err, unix.EACCES) {
		t.Errorf("memory: %v, want EACCES", err)
	}
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
		t.Error(err)
	}
}

// repeats has the program that runs say something.
func repeats(t *testing.T, in io.Writer, out *bufio.Reader, what string) {
	t.Helper()
	if _, err := fmt.Fprintln(in, what); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if got, err := out.ReadString('\n'); err != nil || got != what+"\n" {
		t.Fatalf("%s: the program that runs answers %q, %v", what, got, err)
	}
}
