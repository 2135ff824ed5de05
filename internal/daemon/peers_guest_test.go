//go:build guest

package daemon

import (
	"errors"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// kind is a process with uid 0.
type kind struct {
	name string
	// drops: it and what it executes have no capabilities, and get none back.
	drops bool
	attr  *syscall.SysProcAttr
	// why is in the refusal; empty for one that may do everything.
	why string
}

// kinds of root. The second has every capability, as /proc/PID/status shows them, in a
// namespace that anybody can make.
func kinds() []kind {
	whole := []syscall.SysProcIDMap{{Size: 1 << 16}}
	return []kind{
		{"root", false, nil, ""},
		{"root without capabilities", true, nil, "lacks CAP_MAC_ADMIN"},
		{"the same in a user namespace", true,
			&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, AmbientCaps: []uintptr{unix.CAP_MAC_ADMIN}}, "user namespace of its own"},
		{"root in a user namespace", false,
			&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: whole, GidMappings: whole}, "user namespace of its own"},
		{"the same in a PID namespace", false,
			&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID, UidMappings: whole, GidMappings: whole}, "user namespace of its own"},
		{"root in a PID namespace", false, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}, ""},
	}
}

// run runs ipe. What drops capabilities does so on a thread that ends with it, and whose
// child inherits the rest.
func (k kind) run(args ...string) (string, error) {
	var out []byte
	done := make(chan error)
	go func() {
		if k.drops {
			runtime.LockOSThread()
			hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var none [2]unix.CapUserData
			if err := errors.Join(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), unix.Capset(&hdr, &none[0])); err != nil {
				done <- err
				return
			}
		}
		cmd := exec.Command("/bin/ipe", append([]string{"--socket", "/run/iped.sock"}, args...)...)
		cmd.SysProcAttr = k.attr
		var err error
		out, err = cmd.CombinedOutput()
		done <- err
	}()
	err := <-done
	return string(out), err
}

// TestInstalledPeers: uid 0 is not enough on the socket, as it is not on the tree; what
// counts is CAP_MAC_ADMIN in the initial user namespace.
func TestInstalledPeers(t *testing.T) {
	daemon := iped(t)
	ipe(t, "mode", "enforce", "--force")
	for _, k := range kinds() {
		for _, args := range [][]string{{"events"}, {"mode", "permissive"}, {"policy", "load", "/site-1.1.0.p7b"}, {"policy", "activate", "site"},
			{"policy", "update", "/site-1.1.0.p7b"}, {"policy", "delete", "site"}} {
			out, err := k.run(args...)
			if k.why == "" {
				if strings.Contains(out, "CAP_MAC_ADMIN") {
					t.Errorf("%s: ipe %v: %v, %s", k.name, args, err, out)
				}
				continue
			}
			var exit *exec.ExitError
			if !errors.As(err, &exit) || !strings.Contains(out, "[EPERM]") || !strings.Contains(out, k.why) {
				t.Errorf("%s: ipe %v: %v, want EPERM and %q\n%s", k.name, args, err, k.why, out)
			}
		}
		says(t, map[bool]string{true: "permissive", false: "enforce"}[k.why == ""]+", success audit off\n", "mode", "--success-audit", "off")
		ipe(t, "mode", "enforce", "--force")
	}
	stop(t, daemon, unix.SIGTERM)
}
