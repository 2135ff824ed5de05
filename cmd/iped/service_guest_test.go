//go:build guest

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestService is the unit's life: enabled as the README says, reloaded, killed, hung,
// stopped. Nothing of it may need what the unit takes away.
func TestService(t *testing.T) {
	running := holdSigned(t)
	defer running.Close()
	awaitManager(t)
	systemctl(t, "start", "multi-user.target") // what boots is up
	systemctl(t, "enable", "--now", "iped")
	says := func(want string, args ...string) {
		t.Helper()
		if out, err := exec.Command("/usr/bin/ipe", args...).CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("ipe %v: %v, want %q in\n%s", args, err, want, out)
		}
	}
	says("loaded site 1.0.0", "policy", "load", "/site.p7b")
	says("enforcing", "policy", "activate", "site")
	denied(t, "under systemd")
	if err := exec.Command("/files/signed").Run(); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a signed program that was open before: %v, want ENOENT: it may be executed, its interpreter is not there", err)
	}
	first := mainPID(t)
	systemctl(t, "reload", "iped")
	says("enforcing", "status")
	systemctl(t, "kill", "--signal=KILL", "--kill-who=main", "iped")
	denied(t, "killed")
	second := awaitOther(t, first)
	says("enforcing", "status")
	shortenWatchdog(t)
	third := awaitOther(t, second)
	systemctl(t, "kill", "--signal=STOP", "--kill-who=main", "iped")
	denied(t, "hung")
	awaitOther(t, third)
	says("enforcing", "status")
	says("DENY", "events")
	systemctl(t, "stop", "iped")
	denied(t, "stopped")
	unwarned(t)
}

// holdSigned has a signed file in memory, in use, before iped starts.
func holdSigned(t *testing.T) *os.File {
	t.Helper()
	cert, err := os.ReadFile("/cert.der")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := os.ReadFile("/proc/keys")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(keys)) {
		if !strings.Contains(line, " .fs-verity: ") {
			continue
		}
		id, err := strconv.ParseInt(strings.Fields(line)[0], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.AddKey("asymmetric", "", cert, int(id)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.MkdirAll("/files", 0o755), unix.Mount("/dev/vda", "/files", "ext4", 0, "")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("fsverity", "enable", "/files/signed", "--signature=/signed.p7s").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := os.Open("/files/signed")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func systemctl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("systemctl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// awaitManager waits until systemd, which was started beside the test, listens.
func awaitManager(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if exec.Command("systemctl", "show", "--property=Version").Run() == nil {
			return
		}
	}
	t.Fatal("systemd does not answer")
}

func mainPID(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(systemctl(t, "show", "--property=MainPID", "--value", "iped"))
}

// awaitOther waits until systemd has started another iped and that has said it is ready.
func awaitOther(t *testing.T, old string) string {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		state := strings.TrimSpace(systemctl(t, "show", "--property=ActiveState", "--value", "iped"))
		if pid := mainPID(t); state == "active" && pid != old && pid != "0" {
			return pid
		}
	}
	t.Fatalf("no other iped in a minute:\n%s", systemctl(t, "show", "iped"))
	return ""
}

// shortenWatchdog has systemd lose patience sooner than the unit says.
func shortenWatchdog(t *testing.T) {
	t.Helper()
	err := os.MkdirAll("/run/systemd/system/iped.service.d", 0o755)
	err = errors.Join(err, os.WriteFile("/run/systemd/system/iped.service.d/test.conf", []byte("[Service]\nWatchdogSec=5s\n"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	systemctl(t, "daemon-reload")
	systemctl(t, "restart", "iped")
}

// unwarned demands that systemd had nothing to complain of in the unit, and iped
// nothing that it may not do.
func unwarned(t *testing.T) {
	t.Helper()
	log, err := os.ReadFile("/run/iped.log")
	if err != nil {
		t.Fatal(err)
	}
	const looked = `msg="verified the signatures of fs-verity files in use" files=1 valid=1`
	if !bytes.Contains(log, []byte(looked)) {
		t.Errorf("iped's log is without %s", looked)
	}
	for line := range bytes.Lines(log) {
		if (bytes.Contains(line, []byte("level=WARN")) && !bytes.Contains(line, []byte("both must allow"))) || bytes.Contains(line, []byte("level=ERROR")) {
			t.Errorf("iped: %s", line)
		}
	}
	for line := range bytes.Lines(kernelLog(t)) {
		if bytes.Contains(line, []byte("iped.service:")) && bytes.Contains(line, []byte("ignoring")) {
			t.Errorf("systemd: %s", line)
		}
	}
	if t.Failed() {
		t.Logf("%s", log)
	}
}

func kernelLog(t *testing.T) []byte {
	t.Helper()
	const readAll, size = 3, 1 << 20
	buf := make([]byte, size)
	n, err := unix.Klogctl(readAll, buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}
