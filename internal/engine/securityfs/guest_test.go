//go:build guest

package securityfs_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/securityfs"
	"github.com/ipe-linux/ipe/internal/lab/await"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/sign"
)

const treeDir = "/sys/kernel/security/ipe/"

var enforcing = engine.Mode{Enforce: true}

func open(t *testing.T) *securityfs.Engine {
	t.Helper()
	e, err := securityfs.Open(securityfs.Options{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func message(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("/policies/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func active(t *testing.T, name string) engine.Active {
	t.Helper()
	data := message(t, name)
	e, err := sign.Inspect(data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse(e.Content)
	if err != nil {
		t.Fatal(err)
	}
	return engine.Active{Policy: p, ID: sha256.Sum256(data), Envelope: data}
}

// poke writes to the tree behind the engine's back, as a script does.
func poke(t *testing.T, node string, data []byte) {
	t.Helper()
	if err := os.WriteFile(treeDir+node, data, 0); err != nil {
		t.Fatal(err)
	}
}

func mapExec() error {
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err == nil {
		err = unix.Munmap(mem)
	}
	return err
}

func mustDeny(t *testing.T, when string) {
	t.Helper()
	if err := mapExec(); !errors.Is(err, unix.EACCES) {
		t.Errorf("%s: anonymous executable memory: %v, want EACCES", when, err)
	}
}

func state(t *testing.T, e *securityfs.Engine) engine.State {
	t.Helper()
	st, err := e.State()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// decisions collects what the engine reports until the test ends.
func decisions(t *testing.T, e *securityfs.Engine) <-chan engine.Event {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ch, done := make(chan engine.Event, 1<<16), make(chan error, 1)
	go func() { done <- e.Events(ctx, func(ev engine.Event) { ch <- ev }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("events: %v", err)
		}
	})
	return ch
}

// next waits for a decision of this process.
func next(t *testing.T, ch <-chan engine.Event, want func(engine.Event) bool) engine.Event {
	t.Helper()
	for end := time.After(await.Limit); ; {
		select {
		case ev := <-ch:
			if ev.PID == uint32(os.Getpid()) && want(ev) {
				return ev
			}
		case <-end:
			t.Fatal("no such decision came")
		}
	}
}

func names(t *testing.T, e *securityfs.Engine) string {
	t.Helper()
	held, err := e.Held()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, h := range held {
		s := h.Name + " " + h.Version
		if h.Active {
			s += " active"
		}
		all = append(all, s)
	}
	return strings.Join(all, ", ")
}

// TestEngineLifeCycle is everything that a kernel can be asked for, in the one order
// that it allows: what is active never goes away again.
func TestEngineLifeCycle(t *testing.T) {
	e := open(t)
	if st := state(t, e); st.HasPolicy || st.Generation != 0 || !st.Mode.Enforce || st.Adopted || st.Silent != "" {
		t.Errorf("fresh: %+v", st)
	}
	for _, c := range e.Capabilities() {
		if !c.Available || c.Detail != "compiled in, by the kernel's BTF" {
			t.Errorf("Debian's kernel has all properties: %+v", c)
		}
	}
	if u := e.Unavailable(); u != 0 || len(e.Capabilities()) != len(policy.AllKeys()) {
		t.Errorf("unavailable %v of %d", u, len(e.Capabilities()))
	}
	ch := decisions(t, e)
	loads(t, e)
	activates(t, e, ch)
	behind(t, e, ch)
	updates(t, e)
}

func loads(t *testing.T, e *securityfs.Engine) {
	err := e.Load(message(t, "stranger"))
	var refused *securityfs.RefusedError
	if !errors.Is(err, unix.ENOKEY) || !errors.As(err, &refused) || !strings.Contains(refused.Hint(), "%:.platform") {
		t.Errorf("stranger's policy: %v", err)
	}
	if err := e.Load([]byte("policy_name=x")); !errors.Is(err, unix.EBADMSG) {
		t.Errorf("unsigned policy: %v, want EBADMSG", err)
	}
	if err := e.Load(message(t, "site-1.0.0")); err != nil {
		t.Fatal(err)
	}
	if err := e.Load(message(t, "site-1.0.0")); !errors.Is(err, unix.EEXIST) {
		t.Errorf("again: %v, want EEXIST", err)
	}
	held, err := e.Held()
	want := active(t, "site-1.0.0")
	if err != nil || len(held) != 1 || string(held[0].Envelope) != string(want.Envelope) || held[0].Place == 0 ||
		!strings.HasPrefix(string(held[0].Text), "policy_name=site policy_version=1.0.0\n") {
		t.Errorf("held: %+v, %v", held, err)
	}
	if err := e.Delete("site"); err != nil {
		t.Error(err)
	}
	if err := e.Delete("site"); !errors.Is(err, unix.ENOENT) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("delete again: %v, want ENOENT", err)
	}
	if got := names(t, e); got != "" {
		t.Errorf("the kernel holds %s", got)
	}
	if err := e.Activate(engine.Active{Policy: want.Policy}); err == nil || !strings.Contains(err.Error(), "CONFIG_IPE_BOOT_POLICY") {
		t.Errorf("unsigned: %v", err)
	}
}

func activates(t *testing.T, e *securityfs.Engine, ch <-chan engine.Event) {
	site := active(t, "site-1.0.0")
	if err := errors.Join(e.Activate(site), e.Activate(site)); err != nil {
		t.Fatal(err)
	}
	if st := state(t, e); !st.HasPolicy || st.ID != site.ID || st.Generation != 1 {
		t.Errorf("active: %+v", st)
	}
	mustDeny(t, "active")
	ev := next(t, ch, func(ev engine.Event) bool { return ev.Event.Hook == eval.HookMmap })
	if ev.Decision != (eval.Decision{Action: policy.Deny, Scope: policy.ScopeGlobal, Rule: eval.NoRule}) || ev.Policy == nil ||
		ev.Policy.Name != "site" || !ev.Enforcing || !ev.NoEvidence || ev.Path != "" || ev.Device != "" || ev.Generation != 1 ||
		time.Since(ev.Time) > time.Minute {
		t.Errorf("event %+v", ev)
	}
	proven(t, e, site)
	if err := e.SetMode(engine.Mode{SuccessAudit: true}); err != nil {
		t.Fatal(err)
	}
	if err := mapExec(); err != nil {
		t.Errorf("permissive: %v", err)
	}
	if st := state(t, e); st.Mode != (engine.Mode{SuccessAudit: true}) {
		t.Errorf("permissive: %+v", st)
	}
	if test, err := e.SelfTest(site); err != nil || test.DenialSeen || test.Failed {
		t.Errorf("permissive self-test: %+v, %v", test, err)
	}
	ev = next(t, ch, func(ev engine.Event) bool { return !ev.Enforcing && ev.Path != "" && ev.Decision.Action == policy.Deny })
	if !strings.HasPrefix(ev.Path, "/memfd:ipe-self-test") || ev.Device != "tmpfs" || ev.Inode == 0 || ev.Event.Hook != eval.HookBprmCheck {
		t.Errorf("event with a file: %+v", ev)
	}
	if err := e.SetMode(enforcing); err != nil {
		t.Fatal(err)
	}
}

func proven(t *testing.T, e *securityfs.Engine, a engine.Active) {
	t.Helper()
	test, err := e.SelfTest(a)
	if err != nil || !test.DenialSeen || test.Failed || len(test.Probes) != 3 {
		t.Errorf("self-test: %+v, %v", test, err)
	}
}

// behind has somebody else change the tree.
func behind(t *testing.T, e *securityfs.Engine, ch <-chan engine.Event) {
	before := state(t, e)
	poke(t, "new_policy", message(t, "other-1.1.0"))
	if got := names(t, e); got != "other 1.1.0, site 1.0.0 active" {
		t.Errorf("the kernel holds %s", got)
	}
	poke(t, "policies/other/active", []byte("1"))
	mustDeny(t, "other's policy")
	ev := next(t, ch, func(ev engine.Event) bool { return ev.Decision.Scope == policy.ScopeRule })
	other := active(t, "other-1.1.0")
	if ev.Policy == nil || ev.Policy.Name != "other" || ev.Decision.Rule != 3 || ev.Generation != before.Generation+1 {
		t.Errorf("event of a policy that came behind the engine's back: %+v", ev)
	}
	if st := state(t, e); st.ID != other.ID || st.Generation != ev.Generation {
		t.Errorf("after: %+v", st)
	}
	proven(t, e, other)
	if err := e.Activate(active(t, "site-1.0.0")); !errors.Is(err, unix.EINVAL) {
		t.Errorf("an older policy: %v, want EINVAL", err)
	}
}

func updates(t *testing.T, e *securityfs.Engine) {
	if err := e.Update("site", message(t, "site-1.1.0")); err != nil {
		t.Error(err)
	}
	if err := e.Update("site", message(t, "site-1.0.0")); !errors.Is(err, unix.ESTALE) {
		t.Errorf("older update: %v, want ESTALE", err)
	}
	if got := names(t, e); got != "other 1.1.0 active, site 1.1.0" {
		t.Errorf("the kernel holds %s", got)
	}
	site := active(t, "site-1.1.0")
	if err := e.Activate(site); err != nil {
		t.Error(err)
	}
	newer := active(t, "site-1.2.0")
	if err := e.Activate(newer); err != nil {
		t.Error(err)
	}
	if st := state(t, e); st.ID != newer.ID || st.Generation != 4 {
		t.Errorf("updated: %+v", st)
	}
	proven(t, e, newer)
	if err := e.Delete("site"); !errors.Is(err, unix.EPERM) {
		t.Errorf("delete what is active: %v, want EPERM", err)
	}
	if err := e.Delete("other"); err != nil {
		t.Error(err)
	}
}

// TestEngineIsTakenOver runs after the life cycle, in the same kernel.
func TestEngineIsTakenOver(t *testing.T) {
	e := open(t)
	if st := state(t, e); !st.HasPolicy || !st.Adopted || st.Generation != 1 || st.ID != active(t, "site-1.2.0").ID {
		t.Errorf("taken over: %+v", st)
	}
	if _, err := securityfs.Open(securityfs.Options{}); !errors.Is(err, securityfs.ErrInUse) {
		t.Errorf("second engine: %v, want ErrInUse", err)
	}
	ch := decisions(t, e)
	mustDeny(t, "taken over")
	if ev := next(t, ch, func(engine.Event) bool { return true }); ev.Policy == nil || ev.Policy.Name != "site" || ev.Generation != 1 {
		t.Errorf("event: %+v", ev)
	}
}

// TestEngineCountsLosses provokes more records than anybody could take.
func TestEngineCountsLosses(t *testing.T) {
	e := open(t)
	if lost := state(t, e).Lost; lost != 0 {
		t.Errorf("%d lost at first", lost)
	}
	const most, batch = 100_000, 1000
	provoked := uint64(0)
	for ; provoked < most && state(t, e).Lost < batch; provoked += batch {
		for range batch {
			if err := mapExec(); !errors.Is(err, unix.EACCES) {
				t.Fatal(err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), await.Limit)
	defer cancel()
	var received atomic.Int64
	ended := make(chan error)
	go func() { ended <- e.Events(ctx, func(engine.Event) { received.Add(1) }) }()
	await.Until(func() bool { return uint64(received.Load())+state(t, e).Lost >= provoked })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	got, lost := received.Load(), state(t, e).Lost
	t.Logf("%d denials: %d received, %d lost", provoked, got, lost)
	if lost == 0 || uint64(got)+lost < provoked {
		t.Errorf("%d received and %d lost are less than %d", got, lost, provoked)
	}
}

// TestSilent: without auditing the engine works, and nothing is proven.
func TestSilent(t *testing.T) {
	e := open(t)
	if st := state(t, e); !strings.Contains(st.Silent, "audit=0") {
		t.Errorf("state: %+v", st)
	}
	site := active(t, "site-1.0.0")
	if err := e.Activate(site); err != nil {
		t.Fatal(err)
	}
	mustDeny(t, "active")
	test, err := e.SelfTest(site)
	if err != nil || test.DenialSeen || test.Failed {
		t.Errorf("self-test: %+v, %v", test, err)
	}
	for _, p := range test.Probes {
		if !p.Unclear || p.Want != "EACCES" || !strings.Contains(p.Got, "auditing is off") {
			t.Errorf("probe: %+v", p)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := e.Events(ctx, func(ev engine.Event) { t.Errorf("event %+v", ev) }); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
