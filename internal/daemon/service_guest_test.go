//go:build guest

package daemon

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/await"
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
	says("\nprofile    strict", "status") // as a new installation is configured
	denied(t, "under systemd")
	if err := exec.Command("/files/signed").Run(); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a signed program that was open before: %v, want ENOENT: it may be executed, its interpreter is not there", err)
	}
	first := mainPID(t)
	confined(t, first)
	reloaded(t)
	reloadedBadly(t)
	reloaded(t)
	says("enforcing", "status")
	unmounted(t)
	says("enforcing", "status")
	systemctl(t, "kill", "--signal=KILL", "--kill-who=main", "iped")
	denied(t, "killed")
	second := awaitOther(t, first)
	says("enforcing", "status")
	shortenWatchdog(t)
	third := awaitOther(t, second)
	before := len(ipedLog(t))
	systemctl(t, "kill", "--signal=STOP", "--kill-who=main", "iped")
	denied(t, "hung")
	awaitOther(t, third)
	says("enforcing", "status")
	says("DENY", "events")
	systemctl(t, "stop", "iped")
	denied(t, "stopped")
	unwarned(t, before)
}

// reloaded has the unit reload: when systemctl comes back, that is done.
func reloaded(t *testing.T) {
	t.Helper()
	before := len(ipedLog(t))
	systemctl(t, "reload", "iped")
	log, state := ipedLog(t)[before:], systemctl(t, "show", "-p", "ActiveState,SubState,StatusText", "iped")
	if !bytes.Contains(log, []byte("msg=reloaded certificates=1")) || !strings.Contains(state, "StatusText=enforcing\nActiveState=active\nSubState=running\n") {
		t.Fatalf("not reloaded:\n%s\n%s", state, log)
	}
}

// unmounted takes the BPF file system away and mounts another one. The unit, whose mounts
// are its own, cannot do that by itself: it says what to do, and pins anew when it is done.
func unmounted(t *testing.T) {
	t.Helper()
	const dir = "/sys/fs/bpf"
	before := len(pinned(t))
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	denied(t, "unmounted")
	says := func(problem bool) bool {
		out, err := exec.Command("/usr/bin/ipe", "status").CombinedOutput()
		return err == nil && strings.Contains(string(out), "mount -t bpf bpf "+dir) == problem
	}
	if !await.Until(func() bool { return says(true) }) {
		t.Error("status does not say that the file system of the pins is gone")
	}
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=0700"); err != nil {
		t.Fatal(err)
	}
	if !await.Until(func() bool { return len(pinned(t)) == before && says(false) }) {
		t.Fatalf("mounted again, pinned are %q, were %d", pinned(t), before)
	}
}

// reloadedBadly has the unit reload where it must fail, and go on.
func reloadedBadly(t *testing.T) {
	t.Helper()
	const dir, away = "/etc/ipe/trust.d", "/etc/ipe/away"
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	before := len(ipedLog(t))
	out, err := exec.Command("systemctl", "reload", "iped").CombinedOutput()
	log, state := ipedLog(t)[before:], systemctl(t, "show", "-p", "ActiveState,SubState", "iped")
	if err == nil || state != "ActiveState=active\nSubState=running\n" ||
		!bytes.Contains(log, []byte(badReload)) || !bytes.Contains(log, []byte("ipe: error: reload: ")) || !bytes.Contains(log, []byte("still count [ENOENT]")) {
		t.Errorf("reload without certificates: %v\n%s\n%s\n%s", err, out, state, log)
	}
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
}

// badReload is what iped logs of a reload that fails.
const badReload = `msg="reloaded with problems"`

// provoked is what iped says of what the test does to it.
var provoked = []string{
	"msg=decision ", // denials are what this is about
	badReload,
	"msg=problem with=certificates ",
	`msg="somebody removed pins of the engine`,
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

// confined demands that iped has its own system-call filter and no other, that its
// watchdog has it, too, and that what the unit takes away is not missed.
func confined(t *testing.T, pid string) {
	t.Helper()
	children, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	tasks, gerr := filepath.Glob("/proc/" + pid + "/task/*/status")
	if err := errors.Join(err, gerr); err != nil {
		t.Fatal(err)
	}
	for child := range strings.FieldsSeq(string(children)) {
		tasks = append(tasks, "/proc/"+child+"/status")
	}
	if len(tasks) < 3 {
		t.Errorf("threads and children: %q", tasks)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		for _, want := range []string{"\nNoNewPrivs:\t1\n", "\nSeccomp:\t2\n", "\nSeccomp_filters:\t1\n"} {
			if err == nil && !bytes.Contains(text, []byte(want)) {
				t.Errorf("%s lacks %q:\n%s", task, want, text)
			}
		}
	}
	root := "/proc/" + pid + "/root" // its mounts are its own
	if got, err := os.ReadFile(root + "/run/ipe/tree/enforce"); err != nil || string(got) != "1" {
		t.Errorf("the control tree reads %q, %v", got, err)
	}
	for file, mode := range map[string]os.FileMode{"/run/ipe/iped.sock": 0o666 | os.ModeSocket, "/var/log/ipe/records": 0o600, "/var/lib/ipe": 0o700 | os.ModeDir} {
		if info, err := os.Stat(file); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v, want %v", file, info, err, mode)
		}
	}
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
	if err := await.NoError(func() error { return exec.Command("systemctl", "show", "--property=Version").Run() }); err != nil {
		t.Fatalf("systemd does not answer: %v", err)
	}
}

func mainPID(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(systemctl(t, "show", "--property=MainPID", "--value", "iped"))
}

// awaitOther waits until systemd has started another iped and that has said it is ready.
func awaitOther(t *testing.T, old string) string {
	t.Helper()
	var pid string
	if !await.Until(func() bool {
		state := strings.TrimSpace(systemctl(t, "show", "--property=ActiveState", "--value", "iped"))
		pid = mainPID(t)
		return state == "active" && pid != old && pid != "0"
	}) {
		t.Fatalf("no other iped:\n%s", systemctl(t, "show", "iped"))
	}
	return pid
}

// shortenWatchdog has systemd lose patience sooner than the unit says.
func shortenWatchdog(t *testing.T) {
	t.Helper()
	err := os.MkdirAll("/run/systemd/system/iped.service.d", 0o755)
	err = errors.Join(err, os.WriteFile("/run/systemd/system/iped.service.d/test.conf", []byte("[Service]\nWatchdogSec=20s\n"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	systemctl(t, "daemon-reload")
	systemctl(t, "restart", "iped")
}

// ipedLog is what iped has logged since the boot.
func ipedLog(t *testing.T) []byte {
	t.Helper()
	log, err := os.ReadFile("/run/iped.log")
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// unwarned demands that systemd had nothing to complain of in the unit, and iped
// nothing that it may not do. One that was stopped may find, if it gets so far before
// systemd ends it, that its tree was cut off: what it says is behind hung bytes of the
// log, and before what its successor begins with.
func unwarned(t *testing.T, hung int) {
	t.Helper()
	log := ipedLog(t)
	_, after, found := bytes.Cut(log[hung:], []byte(" msg=engine "))
	if !found {
		t.Errorf("no iped came after the one that was stopped")
	}
	log = slices.Concat(log[:hung], after)
	const looked = `msg="verified the signatures of fs-verity files in use" files=1 valid=1`
	if !bytes.Contains(log, []byte(looked)) {
		t.Errorf("iped's log is without %s", looked)
	}
	for line := range bytes.Lines(log) {
		if slices.ContainsFunc(provoked, func(text string) bool { return bytes.Contains(line, []byte(text)) }) {
			continue
		}
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
