//go:build guest

package bpf_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf"
	"github.com/ipe-linux/ipe/internal/lab/attack"
	"github.com/ipe-linux/ipe/internal/strict"
)

// TestEngineStrictTry is the process that tries a technique, and says what came of it.
func TestEngineStrictTry(t *testing.T) {
	name := os.Getenv("STRICT_ATTACK")
	if name == "" {
		name = "ask for the personality"
	}
	all := techniques()
	i := slices.IndexFunc(all, func(a technique) bool { return a.name == name })
	if i < 0 {
		t.Fatalf("no attack %q", name)
	}
	fmt.Printf("answer: %v\n", bare(all[i].try()))
}

// TestEngineStrictWaits is a process that waits until its input ends. It does nothing by
// itself.
func TestEngineStrictWaits(*testing.T) {
	if os.Getenv("STRICT_WAITS") == "" {
		return
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// tryTime is how long a technique may take, on a machine that does other things, too.
const tryTime = 2 * time.Minute

// tryAttack has a technique tried and gives its error, errKilled if that killed it.
func tryAttack(t *testing.T, a technique) error {
	t.Helper()
	return tryAs(t, "/proc/self/exe", a)
}

// tryAs has it tried by another copy of this program.
func tryAs(t *testing.T, program string, a technique) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), tryTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-test.run=^TestEngineStrictTry$", "-test.v")
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGQUIT) } // which tells where it hangs
	cmd.WaitDelay = tryTime
	cmd.Env = append(os.Environ(), "STRICT_ATTACK="+a.name)
	out, err := cmd.CombinedOutput()
	if killed(err) {
		return errKilled
	}
	_, answer, ok := strings.Cut(string(out), "answer: ")
	answer, _, _ = strings.Cut(answer, "\n")
	switch {
	case err != nil || !ok:
		t.Fatalf("%s: %v: %s", a.name, err, out)
	case answer == "<nil>":
		return nil
	case answer == errKilled.Error():
		return errKilled
	case answer == unix.EACCES.Error():
		return unix.EACCES
	case answer == unix.EPERM.Error():
		return unix.EPERM
	}
	return errors.New(answer)
}

// findings are the records of strict rules.
type findings chan engine.Event

func newFindings(t *testing.T, e *bpf.Engine) findings {
	t.Helper()
	f := make(findings, 1024)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = e.Events(ctx, func(ev engine.Event) {
			if ev.Rule != strict.None {
				f <- ev
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

// next is the record of a finding; ok is false if none comes.
func (f findings) next() (engine.Event, bool) {
	select {
	case ev := <-f:
		return ev, true
	case <-time.After(5 * time.Second):
		return engine.Event{}, false
	}
}

func rulesWith(t *testing.T, s strict.Switch) (r strict.Rules) {
	t.Helper()
	for _, one := range strict.All() {
		r[one] = s
	}
	return r
}

// stance is one line of the table of truth.
type stance struct {
	name   string
	rules  strict.Switch
	policy bool
	mode   engine.Mode
	// refuses: it does not happen; tells: there is a record.
	refuses, tells bool
}

var stances = []stance{
	{"enforced", strict.Enforce, true, engine.Mode{Enforce: true}, true, true},
	{"monitored", strict.Monitor, true, engine.Mode{Enforce: true}, false, true},
	{"permissive", strict.Enforce, true, engine.Mode{}, false, true},
	{"off", strict.Off, true, engine.Mode{Enforce: true}, false, false},
	{"no policy", strict.Enforce, false, engine.Mode{Enforce: true}, false, false},
}

// TestEngineStrict: what each rule refuses, where, and what it lets pass.
func TestEngineStrict(t *testing.T) {
	strictPrograms(t)
	for _, s := range stances {
		t.Run(s.name, func(t *testing.T) {
			dir := "/sys/fs/bpf/strict"
			e := openWith(t, bpf.Options{PinDir: dir, KeepCaches: true, Profile: engine.Profile{Rules: rulesWith(t, s.rules)}})
			defer func() {
				check0(t, e.Close())
				check0(t, os.RemoveAll(dir))
			}()
			if s.policy {
				activate(t, e, s.mode, "DEFAULT action=ALLOW", "DEFAULT op=EXECUTE action=DENY", "op=EXECUTE boot_verified=TRUE action=ALLOW")
			} else {
				check0(t, e.SetMode(s.mode))
			}
			testStance(t, e, s)
		})
	}
}

func testStance(t *testing.T, e *bpf.Engine, s stance) {
	t.Helper()
	found := newFindings(t, e)
	want := map[strict.Rule]uint64{}
	seen := map[strict.Rule]bool{}
	for _, a := range techniques() {
		if seen[a.rule] && s.name != "enforced" {
			continue // one of a rule is enough
		}
		seen[a.rule] = true
		err := tryAttack(t, a)
		if problem := s.judge(a, err); problem != "" {
			t.Errorf("%s: %s: %v", a.name, problem, err)
		}
		if a.rule == strict.None || !s.tells {
			continue
		}
		want[a.rule]++
		ev, ok := found.next()
		if !ok || ev.Rule != a.rule || ev.Enforcing != s.refuses || ev.Comm == "" || ev.PID == 0 {
			t.Errorf("%s: recorded %+v, %t", a.name, ev, ok)
		}
	}
	if n := len(found); n > 0 {
		t.Errorf("%d more records, the first %+v", n, <-found)
	}
	state := stateOf(t, e)
	if text := strings.Join(state.Problems, "\n"); strings.Contains(text, "strict rule") {
		t.Error(text)
	}
	for _, n := range state.RuleCounts {
		counted := n.Monitored
		if s.refuses {
			counted = n.Refused
		}
		if counted != want[n.Rule] || n.Monitored+n.Refused != counted {
			t.Errorf("%s: counted %+v, want %d", n.Rule, n, want[n.Rule])
		}
	}
}

// judge says what is wrong with the answer to a technique.
func (s stance) judge(a technique, err error) string {
	refused := s.refuses && a.rule != strict.None
	switch {
	case !refused && err == nil:
		return ""
	case !refused:
		return "did not go on"
	case a.rule.Kills() && err == errKilled, !a.rule.Kills() && err == cmp.Or(a.errno, unix.EACCES):
		return ""
	}
	return "not refused"
}

// TestEngineStrictBefore: who made what is readable executable before the rule was on is
// killed when it asks for memory.
func TestEngineStrictBefore(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestEngineStrictHadIt$", "-test.v")
	cmd.Env = append(os.Environ(), "STRICT_HAD=1")
	in, err := cmd.StdinPipe()
	check0(t, err)
	out, err := cmd.StdoutPipe()
	check0(t, err)
	check0(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "ready") {
	}
	dir := "/sys/fs/bpf/strict"
	e := openWith(t, bpf.Options{PinDir: dir, KeepCaches: true, Profile: engine.Profile{Rules: rulesWith(t, strict.Enforce)}})
	defer func() {
		check0(t, e.Close())
		check0(t, os.RemoveAll(dir))
	}()
	activate(t, e, engine.Mode{Enforce: true}, "DEFAULT action=ALLOW")
	check0(t, in.Close())
	for lines.Scan() {
	}
	if err := cmd.Wait(); !killed(err) {
		t.Errorf("asked for memory: %v", err)
	}
}

// TestEngineStrictHadIt is that process. It does nothing by itself.
func TestEngineStrictHadIt(t *testing.T) {
	if os.Getenv("STRICT_HAD") == "" {
		return
	}
	runtime.LockOSThread() // a personality is that of one thread
	check0(t, attack.Call(unix.SYS_PERSONALITY, attack.ReadImpliesExec, 0, 0))
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	check0(t, attack.Call(unix.SYS_BRK, 0, 0, 0))
}
