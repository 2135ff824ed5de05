//go:build guest

package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control/sink/journal"
	"github.com/ipe-linux/ipe/internal/lab/await"
)

// journald runs systemd's journal until the test ends.
func journald(t *testing.T) *exec.Cmd {
	t.Helper()
	err := errors.Join(os.MkdirAll("/run/systemd/journal", 0o755), os.MkdirAll("/run/log/journal", 0o755),
		os.WriteFile("/etc/machine-id", []byte("0123456789abcdef0123456789abcdef\n"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	// The journal wants to know the control group of who sends it something.
	if err := unix.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		t.Fatal(err)
	}
	cmd := exec.Command("/lib/systemd/systemd-journald")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(cmd.Process.Kill(), cmd.Wait()) })
	if !await.Until(func() bool {
		conn, err := net.Dial("unix", "/run/systemd/journal/stdout")
		return err == nil && conn.Close() == nil
	}) {
		t.Fatal("the journal does not start")
	}
	return cmd
}

// stream is what systemd gives a service as its standard error output, and the variable
// that says so.
func stream(t *testing.T) (f *os.File, variable string) {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: "/run/systemd/journal/stdout", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// Identifier, unit, priority, prefixes, and whether to forward: sd_journal_stream_fd(3).
	if _, err := conn.Write([]byte("iped\n\n6\n1\n0\n0\n0\n")); err != nil {
		t.Fatal(err)
	}
	if f, err = conn.File(); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return f, fmt.Sprintf("JOURNAL_STREAM=%d:%d", st.Dev, st.Ino)
}

// entries are those with these fields.
func entries(t *testing.T, match ...string) (found []map[string]any) {
	t.Helper()
	out, err := exec.Command("journalctl", append([]string{"-o", "json", "--no-pager"}, match...)...).Output()
	if err != nil {
		t.Logf("journalctl: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		found = append(found, e)
	}
	return found
}

// TestJournal: denials, changes and problems are in systemd's journal with priority, kind
// and fields; while it takes nothing, nothing counts as written.
func TestJournal(t *testing.T) {
	server := journald(t)
	f, variable := stream(t)
	defer f.Close()
	cmd := exec.Command("/bin/iped", "--socket", "/run/iped.sock", "--trust", "/etc/ipe/trust", "--trust", "/gone", "--state", "/run/journal-state",
		"--audit", "journal")
	cmd.Stdout, cmd.Stderr, cmd.Env = f, f, append(os.Environ(), variable)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(cmd.Process.Kill(), cmd.Wait()) }()
	awaitAnswer(t)
	ipe(t, "policy", "load", "/site-1.0.0.p7b")
	ipe(t, "policy", "activate", "site")
	denied(t, "active")
	for _, want := range []struct {
		kind     journal.Kind
		priority string
		match    []string
	}{
		{journal.Denied, "4", []string{"IPE_ACTION=DENY", "IPE_OP=EXECUTE", "IPE_POLICY=site", fmt.Sprintf("IPE_PID=%d", os.Getpid()), "IPE_RULE=DEFAULT action=DENY"}},
		{"policy-activated", "5", []string{"IPE_POLICY=site", "IPE_POLICY_VERSION=1.0.0"}},
		{"policy-loaded", "5", []string{"IPE_POLICY=site"}},
		{"problem", "3", []string{"IPE_WITH=certificates"}},
		{journal.Ready, "6", nil},
	} {
		var got []map[string]any
		match := append(want.match, "MESSAGE_ID="+want.kind.ID(), "SYSLOG_IDENTIFIER=iped")
		if !await.Until(func() bool { got = entries(t, match...); return len(got) > 0 }) {
			t.Errorf("no entry with %q among\n%v", match, entries(t, "SYSLOG_IDENTIFIER=iped"))
			continue
		}
		if got[0]["PRIORITY"] != want.priority {
			t.Errorf("%v has priority %v, want %s", want.kind, got[0]["PRIORITY"], want.priority)
		}
	}
	journalStops(t, server)
}

// journalStops: of a journal that takes nothing status says so; what it did not take
// counts as lost; and iped goes on.
func journalStops(t *testing.T, server *exec.Cmd) {
	t.Helper()
	if err := server.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if !await.Until(func() bool {
		denied(t, "without the journal")
		return strings.Contains(ipe(t, "status"), journal.ErrStuck.Error())
	}) {
		t.Errorf("status does not tell of the journal:\n%s", ipe(t, "status"))
	}
	if err := server.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if !await.Until(func() bool {
		denied(t, "with the journal again")
		return !strings.Contains(ipe(t, "status"), journal.ErrStuck.Error())
	}) {
		t.Errorf("the journal takes entries again, and status says:\n%s", ipe(t, "status"))
	}
}
