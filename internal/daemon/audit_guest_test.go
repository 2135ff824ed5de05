//go:build guest

package daemon

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/await"
)

// TestRecorded: what happens on a machine is in a file, in the kernel's audit and, for
// those who ask, in iped; each change with the login of whoever made it.
func TestRecorded(t *testing.T) {
	const log = "/run/ipe.log"
	kernel := listen(t)
	daemon := iped(t, "--audit", "file:"+log, "--audit=netlink")
	defer func() {
		if err := daemon.Process.Signal(unix.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := daemon.Wait(); err != nil {
			t.Error(err)
		}
	}()
	runtime.LockOSThread() // whose login it is, and its children's
	defer runtime.UnlockOSThread()
	if err := os.WriteFile("/proc/thread-self/loginuid", []byte("1000"), 0); err != nil {
		t.Fatal(err)
	}
	session, err := os.ReadFile("/proc/thread-self/sessionid")
	if err != nil {
		t.Fatal(err)
	}
	logged := func() []string {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	}
	who := "auid=1000 ses=" + string(session) + " "
	ipe(t, "policy", "load", "/site-1.0.0.p7b")
	refused(t, "EEXIST", "policy", "load", "/site-1.0.0.p7b")
	ipe(t, "policy", "activate", "site")
	denied(t, "active")
	if err := copyFile("/tmp/a b", "/bin/ipe"); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("/tmp/a b").Run(); err == nil {
		t.Error("a copy could be executed")
	}
	// The kernel's records come by another way than iped's own: only their time orders them.
	waitFor(t, "the file", []string{`.*path=2F746D702F612062 .*`}, logged)
	writeNode(t, "policies/site/update", "/site-1.1.0.p7b")
	ipe(t, "mode", "permissive")

	load, change := `policy_name="site" policy_version=%s policy_digest=sha256:[0-9A-F]{64} `+who+`lsm=ipe res=1 errno=0`,
		`old_active_pol_name=%s .*new_active_pol_name="site" new_active_pol_version=%s .*`+who+`lsm=ipe res=1`
	memory := fmt.Sprintf(`ipe_op=EXECUTE ipe_hook=MMAP enforcing=1 pid=%d comm="guest.test" path=\? dev=\? ino=\? rule="DEFAULT action=DENY"`, os.Getpid())
	want := []struct{ typ, text string }{
		{"UNKNOWN[1422]", fmt.Sprintf(load, "1.0.0")},
		{"UNKNOWN[1422]", `policy_name=\? policy_version=\? policy_digest=\? ` + who + `lsm=ipe res=0 errno=-17`},
		{"UNKNOWN[1421]", fmt.Sprintf(change, `\?`, "1.0.0")},
		{"UNKNOWN[1420]", memory},
		{"UNKNOWN[1420]", `ipe_op=EXECUTE ipe_hook=BPRM_CHECK enforcing=1 pid=\d+ comm="guest.test" path=2F746D702F612062 dev="tmpfs" ino=\d+ rule="DEFAULT action=DENY"`},
		{"UNKNOWN[1422]", fmt.Sprintf(load, "1.1.0")},
		{"UNKNOWN[1421]", fmt.Sprintf(change, `"site"`, "1.1.0")},
		{"MAC_STATUS", `enforcing=0 old_enforcing=1 ` + who + `enabled=1 old-enabled=1 lsm=ipe res=1`},
		{"MAC_STATUS", ""},
	}
	var file, trusted []string
	for _, w := range want {
		file = append(file, `type=`+regexp.QuoteMeta(w.typ)+` msg=audit\([0-9]+\.[0-9]{3}:[0-9]+\): `+w.text)
		number := strings.Trim(strings.TrimPrefix(strings.Replace(w.typ, "MAC_STATUS", "1404", 1), "UNKNOWN"), "[]")
		trusted = append(trusted, `audit\([0-9]+\.[0-9]{3}:[0-9]+\): pid=\d+ uid=0 auid=\d+ ses=\d+ .*msg='ipe_type=`+number+` `+w.text+`'`)
	}
	waitFor(t, "the file", file, logged)
	waitFor(t, "the kernel's audit", trusted, kernel.messages)
	if text := ipe(t, "audit", "--action", "DENY", log); !strings.Contains(text, "DENY EXECUTE BPRM_CHECK by guest.test[") || !strings.Contains(text, "/tmp/a b on tmpfs") {
		t.Errorf("ipe audit: %s", text)
	}
	if text := ipe(t, "events", "--format", "audit"); !strings.Contains(text, "audit: type=1404 audit(") {
		t.Errorf("ipe events: %s", text)
	}
	if text := ipe(t, "status"); !strings.Contains(text, "file:"+log) || !strings.Contains(text, " 0 lost") {
		t.Errorf("ipe status: %s", text)
	}
	reopens(t, daemon, log)
}

// reopens: after SIGHUP, records go to a new file.
func reopens(t *testing.T, daemon *exec.Cmd, log string) {
	t.Helper()
	if err := os.Rename(log, log+".old"); err != nil {
		t.Fatal(err)
	}
	if err := daemon.Process.Signal(unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the new file", []string{`type=MAC_STATUS msg=audit\(.*enforcing=1 .*`}, func() []string {
		if _, err := os.Stat(log); err != nil {
			return nil
		}
		ipe(t, "mode", "enforce")
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(string(text), "\n")
	})
}

// waitFor waits until lines match the patterns in their order, with others in between.
func waitFor(t *testing.T, where string, patterns []string, lines func() []string) {
	t.Helper()
	var all []string
	var missing string
	if await.Until(func() bool {
		all = lines()
		rest := all
		for _, p := range patterns {
			re := regexp.MustCompile("^" + p + "$")
			i := slices.IndexFunc(rest, re.MatchString)
			if i < 0 {
				missing = p
				return false
			}
			rest = rest[i+1:]
		}
		return true
	}) {
		return
	}
	t.Errorf("%s has no\n%s\nin its place:\n%s", where, missing, strings.Join(all, "\n"))
}

func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

func writeNode(t *testing.T, node, from string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(treeDir+"/"+node, data, 0); err != nil {
		t.Error(err)
	}
}

// kernelAudit receives what the kernel's audit broadcasts.
type kernelAudit struct {
	fd  int
	all []string
}

func listen(t *testing.T) *kernelAudit {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_AUDIT)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	const readLog = 1 // AUDIT_NLGRP_READLOG
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (readLog - 1)}); err != nil {
		t.Fatal(err)
	}
	enable(t)
	return &kernelAudit{fd: fd}
}

// enable switches the kernel's audit on, as auditd does at its start.
func enable(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	const set, statusEnabled, statusSize = 1001, 1, 44
	msg := make([]byte, unix.NLMSG_HDRLEN+statusSize)
	order := binary.NativeEndian
	order.PutUint32(msg, uint32(len(msg)))
	order.PutUint16(msg[4:], set)
	order.PutUint16(msg[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	order.PutUint32(msg[unix.NLMSG_HDRLEN:], statusEnabled)
	order.PutUint32(msg[unix.NLMSG_HDRLEN+4:], 1)
	if err := unix.Sendto(fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	if _, _, err := unix.Recvfrom(fd, buf, 0); err != nil || order.Uint32(buf[unix.NLMSG_HDRLEN:]) != 0 {
		t.Fatalf("audit cannot be switched on: %v, %d", err, int32(order.Uint32(buf[unix.NLMSG_HDRLEN:])))
	}
}

// messages returns the texts of trusted applications so far.
func (k *kernelAudit) messages() []string {
	buf := make([]byte, 16384)
	for {
		n, _, err := unix.Recvfrom(k.fd, buf, 0)
		if err != nil {
			return k.all
		}
		if n > unix.NLMSG_HDRLEN && binary.NativeEndian.Uint16(buf[4:]) == 1121 {
			k.all = append(k.all, strings.TrimRight(string(buf[unix.NLMSG_HDRLEN:n]), "\x00"))
		}
	}
}
