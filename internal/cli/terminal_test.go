package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/cli"
	"github.com/ipe-linux/ipe/internal/cli/clitest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
)

// terminal returns a terminal, and what reads all that was written to it so far.
func terminal(t *testing.T) (tty *os.File, read func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return tty, func() string {
		const end = "\x00end"
		fmt.Fprint(tty, end)
		var got []byte
		for buf := make([]byte, 4096); ; {
			n, err := master.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, buf[:n]...); bytes.HasSuffix(got, []byte(end)) {
				return strings.ReplaceAll(string(got[:len(got)-len(end)]), "\r\n", "\n")
			}
		}
	}
}

// TestTextOnTerminal: a text of others is what it is for programs, and commands no terminal.
func TestTextOnTerminal(t *testing.T) {
	t.Chdir(t.TempDir())
	const text = "policy_name=\x1b[2Jp policy_version=1.0.0 # \x9b \u009b\nDEFAULT  action=DENY # \x1b]0;title\x07\n"
	const record = `audit: type=1422 audit(1.000:1): policy_name="` + "\x1b[2J" + `" policy_version=1.0.0 policy_digest=sha256:A0B9393FC8915EACF9BF3F2706D3DA32364038B24B56DFF4B48E7584368C5F99 auid=4294967295 ses=4294967295 lsm=ipe res=1 errno=0` + "\n"
	for _, file := range []struct{ name, text string }{{"p", text}, {"log", record}} {
		if err := os.WriteFile(file.name, []byte(file.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("NO_COLOR", "1")
	for _, line := range []string{"policy fmt p", "policy fmt --diff p", "audit --format audit log", "policy check p", "audit log"} {
		args := strings.Fields(line)
		if _, stdout, _ := clitest.Run(nil, args...); strings.Contains(line, "fmt") != strings.Contains(stdout, "\x1b]") {
			t.Errorf("ipe %s: %q", line, stdout)
		}
		tty, read := terminal(t)
		code := cli.Main(args, tty, tty, tty)
		out := read()
		if bad := clean(strings.ReplaceAll(out, "\t", "")); bad != "" || out == "" || code == ui.ExitUsage {
			t.Errorf("ipe %s: exit code %d, %s: %q", line, code, bad, out)
		}
	}
}

// TestJSONKeepsNames: what is escaped has its value.
func TestJSONKeepsNames(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"a\nb", "\u009b", "\u202e", "\x7f", "\U000e0001", "Grüße"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		_, stdout, _ := clitest.Run(nil, "fsverity", "digest", "--json", name)
		var got struct{ File string }
		if err := json.Unmarshal([]byte(stdout), &got); err != nil || got.File != name {
			t.Errorf("%q: %v, %q", name, err, stdout)
		}
		if bad := clean(stdout); bad != "" {
			t.Errorf("%q: %s: %q", name, bad, stdout)
		}
	}
}
