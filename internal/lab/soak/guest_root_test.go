//go:build guest

package soak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf"
	"github.com/ipe-linux/ipe/internal/lab/await"
	"github.com/ipe-linux/ipe/internal/strict"
)

const systemd = "/lib/systemd/systemd"

// expected is all that is refused while the system starts and is used.
var expected = []string{"gdb traceme"}

// becomeRoot makes the volume the root of this machine, with memory above it for what is
// written, has the engine enforce, and becomes its systemd.
func becomeRoot() error {
	text, err := os.ReadFile(RootHashFile)
	if err != nil {
		return err
	}
	root, err := digest.Parse(string(text))
	if err != nil {
		return err
	}
	if err := await.NoError(hasModules); err != nil {
		return err
	}
	const sysroot, memory = "/sysroot", "/memory"
	err = errors.Join(mountVolume(root), os.Mkdir(memory, 0o755), os.Mkdir(sysroot, 0o755), unix.Mount("tmpfs", memory, "tmpfs", 0, "mode=0755"),
		os.Mkdir(memory+"/upper", 0o755), os.Mkdir(memory+"/work", 0o755),
		unix.Mount("overlay", sysroot, "overlay", 0, "lowerdir="+at+",upperdir="+memory+"/upper,workdir="+memory+"/work"), bindKernel(sysroot))
	if err != nil {
		return err
	}
	if err := guard(root.String()); err != nil {
		return fmt.Errorf("enforce: %w", err)
	}
	if err := errors.Join(unix.Chdir(sysroot), unix.Mount(".", "/", "", unix.MS_MOVE, ""), unix.Chroot("."), unix.Chdir("/")); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	return unix.Exec(systemd, []string{systemd, "--show-status=no", "--log-target=kmsg"}, []string{"SYSTEMD_IN_INITRD=0", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"})
}

// hasModules: whoever works beside this process loads them.
func hasModules() error {
	loaded, err := os.ReadFile("/proc/modules")
	if err != nil {
		return err
	}
	for _, m := range []string{"dm_verity ", "squashfs ", "overlay "} {
		if !strings.Contains("\n"+string(loaded), "\n"+m) {
			return fmt.Errorf("no module %s", m)
		}
	}
	return nil
}

// guard has the kernel enforce. Nothing of it ends with this process.
func guard(root string) error {
	e, err := bpf.Open(bpf.Options{KeepCaches: true, Profile: engine.Strict()})
	if err != nil {
		return err
	}
	return errors.Join(enforce(e, root), e.Close())
}

// TestRoot: a whole system starts and serves under the strict profile, and nothing is
// refused but what is expected.
func TestRoot(t *testing.T) {
	check(t, await.NoError(isSystemd))
	awaitRunning(t)
	e, err := bpf.Open(bpf.Options{KeepCaches: true, Profile: engine.Strict()})
	check(t, err)
	m := &machine{t: t}
	m.listen(e)
	defer m.end()
	page, err := inRoot(t, "python3", "-c", "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1/').read().decode())")
	if !strings.Contains(page, "Welcome to nginx!") {
		t.Errorf("nginx: %s, %v", page, err)
	}
	key, err := inRoot(t, "sh", "-c", `mkdir -p -m 700 /root/.ssh && ssh-keygen -q -t ed25519 -N "" -f /root/.ssh/id_ed25519 && cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys`)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	if who, err := login(t, "id -u"); who != "0" {
		t.Fatalf("ssh: %s, %v", who, err)
	}
	if got := m.seen().refused; len(got) > 0 {
		t.Errorf("refused: %q", got)
	}
	if out, err := login(t, "gdb -nx -batch -ex run --args /bin/echo 42 </dev/null"); strings.Contains(out, "exited normally") {
		t.Errorf("gdb ran a program: %s, %v", out, err)
	}
	if got := m.seen().refused; !slices.Equal(got, expected) {
		t.Errorf("refused: %q, want %q", got, expected)
	}
	s, err := e.State()
	check(t, err)
	for _, n := range s.RuleCounts {
		if n.Refused > 0 && n.Rule != strict.TraceMe {
			t.Errorf("%s: refused %d times", n.Rule, n.Refused)
		}
	}
	if len(s.Problems) > 0 || s.Lost > 0 {
		t.Errorf("problems: %q, lost %d", s.Problems, s.Lost)
	}
}

// awaitRunning waits until systemd has started all that it is to start, which has to work.
func awaitRunning(t *testing.T) {
	t.Helper()
	var state string
	err := await.NoError(func() (err error) {
		if state, err = inRoot(t, "systemctl", "is-system-running"); state == "running" || state == "degraded" {
			return nil
		}
		return fmt.Errorf("the system is %s: %w", state, err)
	})
	t.Logf("the system is %s after %s: %v", state, sinceBoot(t), err)
	if state != "running" {
		failed, err := inRoot(t, "systemctl", "--failed", "--no-legend")
		t.Errorf("failed: %s, %v", failed, err)
	}
}

// login runs a command as root does who comes by the network.
func login(t *testing.T, command string) (string, error) {
	t.Helper()
	return inRoot(t, "ssh", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR", "root@127.0.0.1", command)
}

func isSystemd() error {
	exe, err := os.Readlink("/proc/1/exe")
	if err == nil && filepath.Base(exe) != "systemd" {
		err = fmt.Errorf("process 1 is %s", exe)
	}
	return err
}

func sinceBoot(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	check(t, unix.ClockGettime(unix.CLOCK_BOOTTIME, &now))
	return time.Duration(now.Nano()).Round(time.Second)
}

// inRoot runs a command in the root of process 1.
func inRoot(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/usr/bin/env", args...)
	cmd.Dir, cmd.WaitDelay = "/", time.Second
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: "/proc/1/root"}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}
