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

// TestEngineStrictTry is the process that tries techniques, as it is told, and says what
// came of each.
func TestEngineStrictTry(t *testing.T) {
	if os.Getenv("STRICT_TRIES") == "" {
		return
	}
	all := techniques()
	for names := bufio.NewScanner(os.Stdin); names.Scan(); {
		i := slices.IndexFunc(all, func(a technique) bool { return a.name == names.Text() })
		if i < 0 {
			t.Fatalf("no technique %q", names.Text())
		}
		answer := make(chan error)
		go func() {
			runtime.LockOSThread() // which ends with this, and what became of it
			answer <- bare(all[i].try())
		}()
		fmt.Printf("\nanswer: %v\n", <-answer)
	}
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

// trier has techniques tried by another process, and by another one when that was killed.
// To start one takes a second.
type trier struct {
	program string
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *bufio.Scanner
	said    strings.Builder
}

// end waits for that process.
func (p *trier) end(t *testing.T) {
	t.Helper()
	if p.cmd != nil {
		check0(t, errors.Join(p.in.Close(), p.cmd.Wait()))
	}
}

func (p *trier) start(t *testing.T) {
	t.Helper()
	p.said.Reset()
	p.cmd = exec.Command(p.program, "-test.run=^TestEngineStrictTry$", "-test.v")
	p.cmd.Env = append(os.Environ(), "STRICT_TRIES=1")
	p.cmd.Stderr = &p.said
	in, err := p.cmd.StdinPipe()
	check0(t, err)
	out, err := p.cmd.StdoutPipe()
	check0(t, err)
	p.in, p.answers = in, bufio.NewScanner(out)
	check0(t, p.cmd.Start())
}

// try has a technique tried and gives its error, errKilled if that killed it.
func (p *trier) try(t *testing.T, a technique) error {
	t.Helper()
	if p.cmd == nil {
		p.start(t)
	}
	quit := time.AfterFunc(tryTime, func() { _ = p.cmd.Process.Signal(unix.SIGQUIT) }) // which tells where it hangs
	defer quit.Stop()
	_, err := fmt.Fprintln(p.in, a.name)
	check0(t, err)
	for p.answers.Scan() {
		if answer, ok := strings.CutPrefix(p.answers.Text(), "answer: "); ok {
			return errorOf(answer)
		}
	}
	err = p.cmd.Wait()
	p.cmd = nil
	if !killed(err) {
		t.Fatalf("%s: %v: %s", a.name, err, p.said.String())
	}
	return errKilled
}

// errorOf gives the error that another process has printed.
func errorOf(answer string) error {
	for _, err := range []error{errKilled, unix.EACCES, unix.EPERM} {
		if answer == err.Error() {
			return err
		}
	}
	if answer == "<nil>" {
		return nil
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
	const dir = "/sys/fs/bpf/strict"
	begin := func(p engine.Profile) *bpf.Engine {
		return openWith(t, bpf.Options{PinDir: dir, KeepCaches: true, Profile: p})
	}
	e := begin(engine.Profile{})
	for _, s := range stances {
		p := engine.Profile{Rules: rulesWith(t, s.rules)}
		if !s.policy {
			check0(t, errors.Join(e.Close(), os.RemoveAll(dir))) // one that had a policy keeps it
			e = begin(p)
		}
		check0(t, e.SetProfile(p))
		t.Run(s.name, func(t *testing.T) {
			if s.policy {
				activate(t, e, s.mode, "DEFAULT action=ALLOW", "DEFAULT op=EXECUTE action=DENY", "op=EXECUTE boot_verified=TRUE action=ALLOW")
			} else {
				check0(t, e.SetMode(s.mode))
			}
			testStance(t, e, s)
		})
	}
	check0(t, errors.Join(e.Close(), os.RemoveAll(dir)))
}

func testStance(t *testing.T, e *bpf.Engine, s stance) {
	t.Helper()
	found := newFindings(t, e)
	tries := &trier{program: "/proc/self/exe"}
	defer tries.end(t)
	want := map[strict.Rule]uint64{}
	before := map[strict.Rule]engine.RuleCount{}
	for _, n := range stateOf(t, e).RuleCounts {
		before[n.Rule] = n
	}
	seen := map[strict.Rule]bool{}
	for _, a := range techniques() {
		if seen[a.rule] && s.name != "enforced" {
			continue // one of a rule is enough
		}
		seen[a.rule] = true
		err := tries.try(t, a)
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
		n.Monitored -= before[n.Rule].Monitored
		n.Refused -= before[n.Rule].Refused
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
