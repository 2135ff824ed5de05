//go:build guest

package daemon

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/await"
)

// TestGuardedFromTheStart looks back at a boot.
func TestGuardedFromTheStart(t *testing.T) {
	awaitManager(t)
	systemctl(t, "start", "try.service") // waits for its job, and so for sysinit.target
	for file, want := range map[string]string{"/run/before": "ran\n", "/run/after": "denied\n"} {
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s has %q, %v, want %q", file, got, err, want)
		}
	}
	guarded := moment(t, "iped", "ActiveEnterTimestampMonotonic")
	if guarded == 0 {
		t.Fatalf("iped is not up:\n%s", systemctl(t, "show", "iped"))
	}
	later := []string{"systemd-sysctl", "systemd-tmpfiles-setup", "systemd-random-seed"}
	if os.Getenv("OWN_VAR") == "" {
		later = append(later, "systemd-udevd", "systemd-udev-trigger", "systemd-modules-load", "systemd-sysusers", "systemd-tmpfiles-setup-dev")
	} else if mounts, err := os.ReadFile("/proc/mounts"); err != nil || !bytes.Contains(mounts, []byte("/dev/vda /var ext4 ")) {
		t.Errorf("/var is not a file system of its own: %v\n%s", err, mounts)
	}
	for _, unit := range later {
		if began := moment(t, unit, "ExecMainStartTimestampMonotonic"); began != 0 && began < guarded {
			t.Errorf("%s began at %v, iped was ready at %v", unit, began, guarded)
		} else {
			t.Logf("%s began at %v", unit, began)
		}
	}
	if moment(t, "systemd-udevd", "ExecMainStartTimestampMonotonic") == 0 {
		t.Error("udev did not run")
	}
	began := moment(t, "iped", "ExecMainStartTimestampMonotonic")
	t.Logf("iped was executed at %v and ready after %v", began, guarded-began)
	if n := strings.TrimSpace(systemctl(t, "show", "--property=NRestarts", "--value", "iped")); n != "0" {
		t.Errorf("iped was started again %s times", n)
	}
	if bytes.Contains(kernelLog(t), []byte("ordering cycle")) {
		t.Error("systemd found an ordering cycle")
	}
	denied(t, "after the boot")
	log, err := os.ReadFile("/run/iped.log")
	t.Logf("%s%v", log, err)
}

// moment is when something happened, in the time since the boot; 0 for never.
func moment(t *testing.T, unit, property string) time.Duration {
	t.Helper()
	text := strings.TrimSpace(systemctl(t, "show", "--property="+property, "--value", unit))
	usec, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(usec) * time.Microsecond
}

// TestNeverReached runs on a machine that is to go off, which ends it.
func TestNeverReached(t *testing.T) {
	if await.Until(func() bool {
		out, err := exec.Command("systemctl", "is-active", "sysinit.target").Output()
		return err == nil && string(out) == "active\n"
	}) {
		t.Fatal("sysinit.target was reached")
	}
	out, err := exec.Command("systemctl", "status", "--no-pager", "--full", "iped", "sysinit.target").CombinedOutput()
	log, lerr := os.ReadFile("/run/iped.log")
	t.Errorf("the machine is still on: %s, %v; %s, %v", out, err, log, lerr)
}
