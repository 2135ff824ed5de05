//go:build guest

package daemon

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/lab/await"
)

// Who provokes denials: a user, in processes of a name that nobody else has.
const (
	stormEnv = "STORM_DIR" // makes this program provoke denials, and where it has its files
	stormUID = 1000
	stormer  = "stormer"
)

// TestMain runs the tests, or provokes denials.
func TestMain(m *testing.M) {
	dir, ok := os.LookupEnv(stormEnv)
	if !ok {
		os.Exit(m.Run())
	}
	if err := storm(dir); err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(1)
	}
}

// hog, in the place of a directory, has the program provoke nothing and only compute.
const hog = "-"

// storm provokes denials until its input ends, and then says how many there were. With a
// directory each is of another file; without, all are equal.
func storm(dir string) error {
	ended := make(chan struct{})
	go func() {
		var one [1]byte
		_, _ = os.Stdin.Read(one[:]) // however it ends
		close(ended)
	}()
	target, name := -1, dir+"/0"
	if dir != "" && dir != hog {
		f, err := os.OpenFile(name, os.O_RDONLY|os.O_CREATE, 0o700)
		if err != nil {
			return err
		}
		defer f.Close()
		target = int(f.Fd())
	}
	for n := 0; ; n++ {
		select {
		case <-ended:
			fmt.Println(n)
			return nil
		default:
		}
		if dir == hog {
			n = -1
			continue
		}
		if dir != "" {
			next := fmt.Sprint(dir, "/", n)
			if err := os.Rename(name, next); err != nil {
				return err
			}
			name = next
		}
		flags := unix.MAP_PRIVATE
		if target < 0 {
			flags |= unix.MAP_ANON
		}
		if _, err := unix.Mmap(target, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, flags); !errors.Is(err, unix.EACCES) {
			return fmt.Errorf("memory: %w, want EACCES", err)
		}
	}
}

// startStorm starts a process that provokes denials; the function ends it and gives
// their number.
func startStorm(t *testing.T, dir string) func() uint64 {
	t.Helper()
	if dir != "" && dir != hog {
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.Chown(dir, stormUID, stormUID)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/" + stormer)
	cmd.Env = append(os.Environ(), stormEnv+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stormUID, Gid: stormUID}}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() uint64 {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseUint(strings.TrimSpace(out.String()), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// stormStatus is what becomes of decisions.
type stormStatus struct {
	Enforcing bool   `json:"enforcing"`
	Summary   string `json:"summary"`
	Recorded  uint64 `json:"recorded"`
	Merged    uint64 `json:"merged"`
	OverShare uint64 `json:"over_share"`
	Kernel    struct {
		Lost      uint64 `json:"lost"`
		OverShare uint64 `json:"over_share"`
	} `json:"kernel"`
	Users []struct{ UID, Count uint64 } `json:"users"`
	Sinks []struct {
		Name        string `json:"name"`
		Lost        uint64 `json:"lost"`
		ChangesLost uint64 `json:"changes_lost"`
	} `json:"sinks"`
}

func stormStatusNow(t *testing.T) (s stormStatus) {
	t.Helper()
	if err := json.Unmarshal([]byte(ipe(t, "status", "--json")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// told adds up what files of records tell of the storm: decisions one by one, and in
// counts.
func told(t *testing.T, pattern string) (single, merged uint64) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			line, n := lines.Text(), uint64(0)
			if last, count, ok := api.SplitMerged(line); ok {
				line, n = last, count
			}
			_, r, err := audit.Parse(line)
			if err != nil {
				t.Errorf("%s: %v: %s", name, err, line)
			}
			if a, ok := r.(audit.Access); !ok || a.Comm != stormer {
				continue
			}
			if merged += n; n == 0 {
				single++
			}
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return single, merged
}

// changes makes changes for a time, at least some, and gives how long each took.
func changes(t *testing.T, during time.Duration) (took []time.Duration) {
	t.Helper()
	for end := time.Now().Add(during); len(took) < 4 || time.Now().Before(end); {
		start := time.Now()
		ipe(t, "mode", "--success-audit", []string{"on", "off"}[len(took)%2])
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took
}

// TestRecordedInStorm: a user has two processes provoke denials as fast as they can, one
// the same again and again, the other always another. Changes go on, their records stay,
// and each denial is in a record, in a count, or counted as over the user's share.
func TestRecordedInStorm(t *testing.T) {
	const log = "/run/storm.log"
	during, err := time.ParseDuration(os.Getenv("STORM"))
	if err != nil {
		t.Fatal(err)
	}
	if err := copyFile("/"+stormer, "/proc/self/exe"); err != nil {
		t.Fatal(err)
	}
	detachAll(t)
	daemon := iped(t, "--state", "/run/stormy", "--audit", "file:"+log, "--audit-size", "1", "--audit-files", "60")
	ipe(t, "policy", "load", "/other-2.0.0.p7b")
	ipe(t, "policy", "activate", "other")
	before := changes(t, 0)
	ends := []func() uint64{startStorm(t, hog), startStorm(t, hog)}
	beside := changes(t, 0)
	if n := ends[0]() + ends[1](); n != 0 {
		t.Errorf("processes that only compute were denied something %d times", n)
	}
	ends = []func() uint64{startStorm(t, ""), startStorm(t, "/tmp/storm")}
	meanwhile := changes(t, during)
	provoked := ends[0]() + ends[1]()

	var s stormStatus
	var single, merged, over uint64
	await.Until(func() bool {
		s = stormStatusNow(t)
		single, merged = told(t, log+"*")
		over = s.OverShare + s.Kernel.Lost
		return single+merged+over == provoked && s.Enforcing
	})
	t.Logf("storm of %v: %d denials, %d in records, %d in counts, %d over the share, of which %d in the kernel",
		during, provoked, single, merged, over, s.Kernel.Lost)
	t.Logf("changes took %v at rest, %v beside two processes that only compute; %d took %v, %v, %v (least, median, most) in the storm",
		before, beside, len(meanwhile), meanwhile[0], meanwhile[len(meanwhile)/2], meanwhile[len(meanwhile)-1])
	if single+merged+over != provoked || single == 0 || merged == 0 || over == 0 {
		t.Errorf("%d told of %d denials", single+merged+over, provoked)
	}
	if s.Kernel.Lost != s.Kernel.OverShare || len(s.Users) != 1 || s.Users[0].UID != stormUID || s.Users[0].Count != over {
		t.Errorf("others than the user lost records, or the user is another: %+v", s)
	}
	if !s.Enforcing {
		t.Errorf("after the storm: %s", s.Summary)
	}
	for _, sink := range s.Sinks {
		if sink.Lost != 0 || sink.ChangesLost != 0 {
			t.Errorf("a sink lost records: %+v", sink)
		}
	}
	kept, err := os.ReadFile(log + ".changes")
	if err != nil || strings.Count(string(kept), "\n") != 2 || !strings.Contains(string(kept), `policy_name="other"`) {
		t.Errorf("records of changes: %q, %v, want a load and an activation", kept, err)
	}
	if text := ipe(t, "events", "--format", "audit"); !strings.Contains(text, "audit: type=1422 audit(") || !strings.Contains(text, "audit: type=1421 audit(") {
		t.Error("ipe events no longer has the records of changes")
	}
	stop(t, daemon, unix.SIGTERM)
	detachAll(t)
}
