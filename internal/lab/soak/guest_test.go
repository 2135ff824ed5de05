//go:build guest

package soak

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf"
	"github.com/ipe-linux/ipe/internal/profile"
	"github.com/ipe-linux/ipe/internal/strict"
	"github.com/ipe-linux/ipe/policy"
)

// TestPrograms: what becomes of each program, and which records there are of that.
func TestPrograms(t *testing.T) {
	root, err := digest.Parse(os.Getenv("ROOT_HASH"))
	check(t, err)
	openVolume(t, root)
	m := &machine{t: t, root: root.String(), run: run}
	m.stage("no engine", func(Program) Outcome { return Works })
	m.start()
	defer m.end()
	m.stage("policy", func(p Program) Outcome { return p.Policy })
	m.ask(engine.Strict())
	m.stage("strict", func(p Program) Outcome { return p.Strict })
	for _, p := range Programs {
		m.mended(p)
	}
}

// machine is the guest with its engine.
type machine struct {
	t       *testing.T
	root    string
	run     func(*testing.T, Program) (string, error)
	engine  *bpf.Engine
	records chan engine.Event
	cancel  context.CancelFunc
}

// start has the policy enforced.
func (m *machine) start() {
	m.t.Helper()
	e, err := bpf.Open(bpf.Options{KeepCaches: true})
	check(m.t, err)
	check(m.t, enforce(e, m.root))
	m.listen(e)
}

// listen keeps what the engine tells, from what it told nobody on.
func (m *machine) listen(e *bpf.Engine) {
	ctx, cancel := context.WithCancel(context.Background())
	m.engine, m.cancel, m.records = e, cancel, make(chan engine.Event, 1<<14)
	go func() { _ = e.Events(ctx, func(ev engine.Event) { m.records <- ev }) }()
}

// enforce has the kernel allow the initramfs, and the volume with the root hash.
func enforce(e *bpf.Engine, root string) error {
	p, err := policy.Parse([]byte("policy_name=programs policy_version=0.0.1\nDEFAULT action=DENY\n" +
		"op=EXECUTE boot_verified=TRUE action=ALLOW\nop=EXECUTE dmverity_roothash=" + root + " action=ALLOW\n"))
	if err != nil {
		return err
	}
	return errors.Join(e.SetMode(engine.Mode{Enforce: true}), e.Activate(engine.Active{Policy: p}))
}

func (m *machine) end() {
	m.cancel()
	check(m.t, m.engine.Close())
	check(m.t, os.RemoveAll(bpf.DefaultPinDir))
}

func (m *machine) ask(p engine.Profile) {
	m.t.Helper()
	check(m.t, m.engine.SetProfile(p))
}

// except has the strict profile with exceptions, as their text says.
func (m *machine) except(lines []string) {
	m.t.Helper()
	text := "profile_name=programs profile_version=0.0.1 base=strict\n" + strings.Join(lines, "\n") + "\n"
	parsed, err := profile.Parse([]byte(text))
	check(m.t, err)
	p := engine.Strict()
	p.Exceptions = parsed.Exceptions
	m.ask(p)
}

func (m *machine) stage(name string, want func(Program) Outcome) {
	for _, p := range Programs {
		m.t.Run(name+"/"+p.Name, func(t *testing.T) { m.try(t, p, want(p)) })
	}
}

// mended runs a program with the lines that it needs, and with those of memory alone.
func (m *machine) mended(p Program) {
	memory, all := p.lines(m.root, true), p.lines(m.root, false)
	if p.Memory != "" {
		m.except(memory)
		m.t.Run("memory/"+p.Name, func(t *testing.T) { m.try(t, p, p.Memory) })
	}
	if p.Mended != "" {
		m.except(all)
		m.t.Run("mended/"+p.Name, func(t *testing.T) { m.needed(t, p, m.try(t, p, p.Mended)) })
	}
}

// needed demands that each rule of the lines was one that the program ran into.
func (m *machine) needed(t *testing.T, p Program, seen records) {
	t.Helper()
	for _, l := range p.Lines {
		what, _, _ := strings.Cut(l, " ")
		if what != "anon_exec" && !slices.Contains(seen.excepted, what) {
			t.Errorf("%s: not needed; it ran into %v", l, seen.excepted)
		}
	}
}

func (m *machine) try(t *testing.T, p Program, want Outcome) records {
	begin := time.Now()
	out, err := m.run(t, p)
	seen, says := m.seen(), p.Says
	if m.engine == nil {
		says = cmp.Or(p.Free, says)
	}
	got := Works
	switch {
	case !strings.Contains(out, says):
		got = Breaks
	case len(seen.refused) > 0:
		got = Copes
	}
	if got != want {
		t.Errorf("%s, want %s: %v\n%s", got, want, err, out)
	}
	t.Logf("%s: %s, %v, refused: %s; excepted: %s", p.Name, got, time.Since(begin).Round(time.Second/10),
		strings.Join(seen.refused, ", "), strings.Join(seen.excepted, ", "))
	return seen
}

// settle is how long a record may take.
const settle = time.Second

// records are what the engine told of a program, each once: what was refused, and rules
// from which it was excepted.
type records struct{ refused, excepted []string }

// seen is what the engine told since it was last asked.
func (m *machine) seen() (r records) {
	if m.records == nil {
		return r
	}
	for {
		select {
		case ev := <-m.records:
			if ev.Enforcing {
				r.refused = once(r.refused, describe(ev))
			} else {
				r.excepted = once(r.excepted, ev.Rule.String())
			}
		case <-time.After(settle):
			return r
		}
	}
}

func once(all []string, one string) []string {
	if slices.Contains(all, one) {
		return all
	}
	return append(all, one)
}

// describe tells who was refused what, without names that a file has by chance.
func describe(ev engine.Event) string {
	switch {
	case ev.Rule != strict.None:
		return ev.Comm + " " + ev.Rule.String()
	case ev.Path == "":
		return fmt.Sprintf("%s %s without a file", ev.Comm, ev.Event.Hook)
	}
	path, _, _ := strings.Cut(ev.Path, "#")
	return fmt.Sprintf("%s %s of %s", ev.Comm, ev.Event.Hook, path)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMain refuses to run anywhere but in a test guest.
func TestMain(m *testing.M) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || !strings.HasPrefix(string(mounts), "rootfs / rootfs ") && !strings.HasPrefix(string(mounts), "none / rootfs ") {
		fmt.Fprintln(os.Stderr, "these tests attach programs that deny: they run in a test guest only")
		os.Exit(1)
	}
	if os.Getpid() == 1 {
		fmt.Fprintln(os.Stderr, "become a system:", becomeRoot())
		os.Exit(1)
	}
	os.Exit(m.Run())
}
