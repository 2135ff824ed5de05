package control_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/trail"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/lab/await"
	"github.com/ipe-linux/ipe/policy"
)

// wrong wraps an engine to make its state or self-test what a test wants.
type wrong struct {
	engine.Engine
	state    func(*engine.State)
	stateErr error
	testErr  error
}

func (w *wrong) State() (engine.State, error) {
	st, err := w.Engine.State()
	if w.state != nil {
		w.state(&st)
	}
	return st, errors.Join(err, w.stateErr)
}

func (w *wrong) SelfTest(a engine.Active) (engine.SelfTest, error) {
	if w.testErr != nil {
		return engine.SelfTest{}, w.testErr
	}
	return w.Engine.SelfTest(a)
}

// TestSummary: "enforcing" is said in one case only.
func TestSummary(t *testing.T) {
	deny := text("p", "1.0.0")
	allow := "policy_name=p policy_version=1.0.0\nDEFAULT action=ALLOW\n"
	tests := []struct {
		name  string
		boot  string
		wrong wrong
		lies  bool
		mode  api.Mode
		want  string
	}{
		{"proven", deny, wrong{}, false, api.Mode{Enforce: true}, "enforcing"},
		{"permissive", deny, wrong{}, false, api.Mode{}, "permissive"},
		{"none", "", wrong{}, false, api.Mode{Enforce: true}, "no policy: everything is allowed"},
		{"denies nothing", allow, wrong{}, false, api.Mode{Enforce: true},
			"active, not proven: the policy denied nothing that the self-test tried"},
		{"never called", deny, wrong{}, true, api.Mode{Enforce: true},
			"NOT ENFORCING: self-test exec-memfd: the policy demands EACCES, the kernel answered ok"},
		{"no self-test", deny, wrong{testErr: errors.New("no memory")}, false, api.Mode{Enforce: true},
			"active, not proven: the self-test could not run: no memory"},
		{"never called, and known why", deny, wrong{state: func(s *engine.State) { s.Deaf = "all are deaf" }}, false, api.Mode{Enforce: true},
			"NOT ENFORCING: all are deaf"},
		{"never called, permissive", deny, wrong{state: func(s *engine.State) { s.Deaf = "all are deaf" }}, false, api.Mode{},
			"NOT ENFORCING: all are deaf"},
		{"never called, no policy", "", wrong{state: func(s *engine.State) { s.Deaf = "all are deaf" }}, false, api.Mode{Enforce: true},
			"NOT ENFORCING: all are deaf"},
		{"no hooks", deny, wrong{state: func(s *engine.State) { s.Hooks = nil }}, false, api.Mode{Enforce: true},
			"NOT ENFORCING: no hook is attached"},
		{"kernel permissive", deny, wrong{state: func(s *engine.State) { s.Mode.Enforce = false }}, false, api.Mode{Enforce: true},
			"NOT ENFORCING: enforce is set, the kernel is permissive"},
		{"kernel lost it", deny, wrong{state: func(s *engine.State) { s.HasPolicy = false }}, false, api.Mode{Enforce: true},
			`NOT ENFORCING: policy p is to be active, the kernel has none`},
		{"another one", deny, wrong{state: func(s *engine.State) { s.ID[0]++ }}, false, api.Mode{Enforce: true},
			`NOT ENFORCING: policy p is to be active, the kernel decides by another`},
		{"unknown one", "", wrong{state: func(s *engine.State) { s.HasPolicy = true; s.ID[0]++ }}, false, api.Mode{Enforce: true},
			"active, not proven: the kernel decides by a policy that is not in the store"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			m.boot = tt.boot
			m.engine.Lies = tt.lies
			m.started()
			tt.wrong.Engine = m.engine
			state := tt.wrong.state
			tt.wrong.state = nil
			c := newRunning(control.Config{Store: m.store, Verifier: control.Certificates(m.signer.Keyring()), Engine: &tt.wrong, Boot: []byte(tt.boot)})
			if err := errors.Join(c.Start(), c.setMode(tt.mode)); err != nil {
				t.Fatal(err)
			}
			tt.wrong.state = state
			s := c.Status()
			if s.Summary != tt.want || s.Enforcing != (tt.want == "enforcing") {
				t.Errorf("summary %q, enforcing %v; want %q", s.Summary, s.Enforcing, tt.want)
			}
			wantState(t, s)
		})
	}
}

// wantState wants of state and reasons what the summary says.
func wantState(t *testing.T, s api.Status) {
	t.Helper()
	begin := map[string]string{api.StateEnforcing: "enforcing", api.StatePermissive: "permissive", api.StateNoPolicy: "no policy: ",
		api.StateUnproven: "active, not proven: ", api.StateNot: "NOT ENFORCING: "}[s.State]
	reason, ok := strings.CutPrefix(s.Summary, begin)
	if begin == "" || !ok || (len(s.Reasons) == 0) != s.Enforcing {
		t.Fatalf("summary %q: state %q, reasons %q", s.Summary, s.State, s.Reasons)
	}
	if (s.State == api.StateNot || s.State == api.StateUnproven) && s.Reasons[0] != reason {
		t.Errorf("summary %q: reasons %q", s.Summary, s.Reasons)
	}
}

func TestSummaryOfUnreadableState(t *testing.T) {
	m := newMachine(t)
	m.started()
	eng := &wrong{Engine: m.engine, stateErr: errors.New("map is gone")}
	c := newRunning(control.Config{Store: m.store, Verifier: control.Certificates(m.signer.Keyring()), Engine: eng})
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	wantSummary(t, c, "NOT ENFORCING: the kernel's state cannot be read: map is gone")
}

func TestEvents(t *testing.T) {
	m := newMachine(t)
	m.boot = text("site", "1.0.0") + "DEFAULT op=KMODULE action=ALLOW\n"
	m.started()
	sink := &sink{}
	c := newRunning(control.Config{Store: m.store, Verifier: control.Certificates(m.signer.Keyring()), Engine: m.engine, Boot: []byte(m.boot),
		Sinks: []trail.Sink{sink}})
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	st, _ := m.engine.State()
	ctx, cancel := context.WithTimeout(context.Background(), await.Limit)
	defer cancel()
	ran := make(chan error)
	go func() { ran <- c.Run(ctx) }()
	emit := func(pid uint32, gen uint64, op policy.Op, d eval.Decision) {
		m.engine.Emit(engine.Event{PID: pid, Generation: gen, Comm: fmt.Sprint("sh", pid%100), Time: time.Unix(0, 0), Event: eval.Event{Op: op}, Decision: d})
	}
	emit(1, st.Generation, policy.OpExecute, eval.Decision{Action: policy.Allow, Scope: policy.ScopeRule, Rule: 0})
	emit(2, st.Generation, policy.OpExecute, eval.Decision{Action: policy.Deny, Scope: policy.ScopeGlobal, Rule: eval.NoRule})
	emit(3, st.Generation, policy.OpKModule, eval.Decision{Action: policy.Allow, Scope: policy.ScopeOp, Rule: eval.NoRule})
	emit(4, st.Generation+77, policy.OpExecute, eval.Decision{Action: policy.Deny, Scope: policy.ScopeRule, Rule: 0})
	want := []string{"op=EXECUTE boot_verified=TRUE action=ALLOW", "DEFAULT action=DENY", "DEFAULT op=KMODULE action=ALLOW", ""}
	var got []string
	err := c.Events(ctx, true, func(r api.Record) error {
		if got = append(got, r.Rule()); len(got) == len(want) {
			return context.Canceled
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("rules %q (%v), want %q", got, err, want)
	}
	for i := range 1500 {
		emit(uint32(i), st.Generation, policy.OpExecute, eval.Decision{Action: policy.Deny, Scope: policy.ScopeGlobal})
	}
	await.Until(func() bool { return c.Status().Recorded >= 1504 })
	var pids []uint32
	if err := c.Events(ctx, false, func(r api.Record) error { pids = append(pids, r.PID); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(pids) != 1000 || pids[0] != 500 || pids[999] != 1499 {
		t.Errorf("%d kept, from %d to %d; want the last 1000", len(pids), pids[0], pids[len(pids)-1])
	}
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run: %v", err)
	}
	const second = `audit: type=1420 audit(0.000:2): ipe_op=EXECUTE ipe_hook=BPRM_CHECK enforcing=0 pid=2 comm="sh2" path=? dev=? ino=? rule="DEFAULT action=DENY"`
	if lines := sink.lines(); len(lines) != 1503 || lines[1] != second {
		t.Errorf("%d records, the second is %q, want %q", len(lines), lines[1], second)
	}
	if s := c.Status(); s.Unnamed != 1 || s.Recorded != 1504 {
		t.Errorf("%d of %d decisions without a record, want 1 of 1504", s.Unnamed, s.Recorded)
	}
}
