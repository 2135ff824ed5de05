package cli_test

import (
	"encoding/json"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/cli/clitest"
)

// statusRow is a line of the table in doc/veritysetup.md: their exit status, its meaning,
// ours, and our numbers.
var statusRow = regexp.MustCompile(`(?m)^\| ([1-5]) \| [^|]+ \| ([^|]+) \| ([^|]+) \|$`)

// statusTable is that table, by their exit status.
func statusTable(t *testing.T) map[int][2]string {
	t.Helper()
	text, err := os.ReadFile("../../doc/veritysetup.md")
	if err != nil {
		t.Fatal(err)
	}
	table := map[int][2]string{}
	for _, row := range statusRow.FindAllStringSubmatch(string(text), -1) {
		theirs, err := strconv.Atoi(row[1])
		if err != nil {
			t.Fatal(err)
		}
		table[theirs] = [2]string{row[2], row[3]}
	}
	if len(table) != 5 {
		t.Fatalf("%d rows", len(table))
	}
	return table
}

// TestPeerStatus wants the table that scripts for veritysetup(8) are changed by to be true.
// What needs a kernel is in TestKernelNumbers of package volumes.
func TestPeerStatus(t *testing.T) {
	table := statusTable(t)
	t.Chdir(t.TempDir())
	if err := os.WriteFile("data", make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := clitest.Run(nil, "dmverity", "format", "data", "hash"); code != 0 {
		t.Fatal(stderr)
	}
	root := strings.Repeat("00", 32)
	for _, c := range []struct {
		theirs, ours int
		errno        string
		as           int
		args         []string
	}{
		{1, 2, "EINVAL", 0, []string{"format", "data"}},
		{1, 2, "EINVAL", 0, []string{"format", "data", "other", "--hash", "md5"}},
		{1, 2, "EINVAL", 0, []string{"verify", "data", "hash", "00"}},
		{1, 1, "EINVAL", 0, []string{"dump", "data"}},
		{2, 1, "", 0, []string{"verify", "data", "hash", root}},
		{2, 1, "EACCES", 65534, []string{"dump", "hash"}},
		{4, 1, "ENOENT", 0, []string{"verify", "gone", "hash", root}},
		{4, 1, "ENOENT", 0, []string{"dump", "gone"}},
		{4, 1, "ENOTBLK", 0, []string{"format", "/dev/null", "other"}},
	} {
		code, errno := refusal(t, c.as, append([]string{"--json", "dmverity"}, c.args...))
		if code != c.ours || errno != c.errno {
			t.Errorf("%q: exit status %d and %q, want %d and %q", c.args, code, errno, c.ours, c.errno)
		}
		row := table[c.theirs]
		if !strings.Contains(row[0], strconv.Itoa(code)) || errno != "" && !strings.Contains(row[1], "`"+errno+"`") {
			t.Errorf("%q: %d and %s are not in the row of %d: %q", c.args, code, errno, c.theirs, row)
		}
	}
	for theirs, numbers := range map[int][]string{2: {"EPERM", "EACCES"}, 3: {"ENOMEM"}, 4: {"ENODEV"}, 5: {"EEXIST", "EBUSY"}} {
		for _, n := range numbers {
			if !strings.Contains(table[theirs][1], "`"+n+"`") {
				t.Errorf("%s is not in the row of %d: %q", n, theirs, table[theirs])
			}
		}
	}
}

// refusal runs a command as a user, 0 for the one that runs the test, and returns its exit
// status and the number of its error, empty if it has none.
func refusal(t *testing.T, as int, args []string) (code int, errno string) {
	t.Helper()
	if as != 0 && os.Geteuid() == 0 {
		// Of this thread alone, with what root may do to files.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if _, err := unix.SetfsuidRetUid(as); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := unix.SetfsuidRetUid(0); err != nil {
				t.Fatal(err)
			}
		}()
	} else if as != 0 {
		if err := os.Chmod(args[len(args)-1], 0); err != nil {
			t.Fatal(err)
		}
	}
	code, _, stderr := clitest.Run(nil, args...)
	var line struct {
		Errno string `json:"errno"`
	}
	if stderr == "" {
		return code, ""
	}
	if err := json.Unmarshal([]byte(stderr), &line); err != nil {
		t.Fatalf("%q: %v", stderr, err)
	}
	return code, line.Errno
}
