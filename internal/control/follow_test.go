package control_test

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/control/store"
)

// newKernelMachine is a machine whose kernel has IPE itself.
func newKernelMachine(t *testing.T) *machine {
	m := newMachine(t)
	m.kernel = controltest.NewKernel("")
	return m
}

func wantList(t *testing.T, c *running, want string) {
	t.Helper()
	var all []string
	for _, i := range c.List() {
		s := i.Name + " " + i.Version
		if i.Active {
			s += " active"
		}
		if !i.Kept {
			s += " unkept"
		}
		if i.Error != "" {
			s += " unusable"
		}
		all = append(all, s)
	}
	if got := strings.Join(all, ", "); got != want {
		t.Errorf("policies: %s; want %s", got, want)
	}
}

// wantProblem wants the one problem that has the words; none if there are none.
func wantProblem(t *testing.T, c *running, words string) {
	t.Helper()
	problems := c.Status().Problems
	if words == "" && len(problems) == 0 || len(problems) == 1 && words != "" && strings.Contains(problems[0], words) {
		return
	}
	t.Errorf("problems %q, want %q", problems, words)
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestKernelIsFollowed: what others do to the kernel shows at once, and is kept only
// when it is asked for.
func TestKernelIsFollowed(t *testing.T) {
	m := newKernelMachine(t)
	c := m.started()
	must[api.Info](t)(c.Load(m.signed("site", "1.0.0")))
	if err := c.Activate("site"); err != nil {
		t.Fatal(err)
	}
	place := must[control.Place](t)(c.Place("site"))
	if err := errors.Join(m.kernel.Load(m.signed("other", "1.5.0")), m.kernel.Poke("other")); err != nil {
		t.Fatal(err)
	}
	wantList(t, c, "other 1.5.0 active unkept, site 1.0.0")
	wantSummary(t, c, "enforcing")
	wantProblem(t, c, `kernel decides by policy other; policy site returns with the next start`)
	if err := c.Activate("other"); err != nil {
		t.Fatal(err)
	}
	wantList(t, c, "other 1.5.0 active, site 1.0.0")
	wantProblem(t, c, "")
	if err := m.kernel.Update("site", m.signed("site", "1.2.0")); err != nil {
		t.Fatal(err)
	}
	wantList(t, c, "other 1.5.0 active, site 1.2.0 unkept")
	wantProblem(t, c, "others updated it to 1.2.0")
	if i, err := place.Info(); err != nil || i.Version != "1.2.0" {
		t.Errorf("an update is at the same place: %+v, %v", i, err)
	}
	if err := errors.Join(m.kernel.Delete("site"), m.kernel.Load(m.signed("site", "1.0.0"))); err != nil {
		t.Fatal(err)
	}
	c.List()
	if _, err := place.Info(); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("what was deleted and loaded again is at another place: %v", err)
	}
	if err := m.kernel.Delete("site"); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, c, "others deleted it")
	must[api.Info](t)(c.Load(m.signed("site", "1.3.0")))
	wantProblem(t, c, "")
}

// TestKernelAfterReboot: it gets everything back, or the refusal is a problem.
func TestKernelAfterReboot(t *testing.T) {
	m := newKernelMachine(t)
	c := m.started()
	for _, name := range []string{"a", "site"} {
		must[api.Info](t)(c.Load(m.signed(name, "1.0.0")))
	}
	if err := errors.Join(c.Activate("site"), c.SetSuccessAudit(true)); err != nil {
		t.Fatal(err)
	}
	must[api.Info](t)(c.Update("site", m.signed("site", "1.1.0")))
	m.kernel.Reboot()
	c = m.started()
	wantList(t, c, "a 1.0.0, site 1.1.0 active")
	wantSummary(t, c, "enforcing")
	if !c.Status().Kernel.Mode.SuccessAudit {
		t.Error("the mode did not return")
	}
	m.kernel.Reboot()
	m.kernel.Refuse = unix.ENOKEY
	c, err := m.start()
	wantErrno(t, "start", err, unix.ENOKEY)
	wantList(t, c, "a 1.0.0 unusable, site 1.1.0 unusable")
	wantSummary(t, c, "no policy: everything is allowed")
	m.kernel.Refuse = nil
	wantErrno(t, "activate what was refused", c.Activate("site"), unix.EKEYREJECTED)
	must[api.Info](t)(c.Update("site", m.signed("site", "1.2.0")))
	wantList(t, c, "a 1.0.0 unusable, site 1.2.0 active")
}

// TestKernelAhead: an update reached the kernel and not the store, before a kill.
func TestKernelAhead(t *testing.T) {
	m := newKernelMachine(t)
	c := m.started()
	must[api.Info](t)(c.Load(m.signed("site", "1.0.0")))
	if err := errors.Join(c.Activate("site"), m.kernel.Update("site", m.signed("site", "1.1.0"))); err != nil {
		t.Fatal(err)
	}
	c = m.started()
	wantList(t, c, "site 1.1.0 active")
	if floor, ok := m.store.Floor("site"); !ok || floor.String() != "1.1.0" {
		t.Errorf("floor %v, %v", floor, ok)
	}
	if !c.Status().Enforcing {
		t.Errorf("status %+v", c.Status())
	}
}

// TestKernelWithOther: while iped was away others activated a policy that the kernel
// does not leave for the one that is kept.
func TestKernelWithOther(t *testing.T) {
	m := newKernelMachine(t)
	c := m.started()
	must[api.Info](t)(c.Load(m.signed("site", "1.0.0")))
	if err := errors.Join(c.Activate("site"), m.kernel.Load(m.signed("other", "2.0.0")), m.kernel.Poke("other")); err != nil {
		t.Fatal(err)
	}
	c, err := m.start()
	wantErrno(t, "start", err, unix.EINVAL)
	wantList(t, c, "other 2.0.0 active unkept, site 1.0.0")
	wantSummary(t, c, "enforcing")
	if problems := c.Status().Problems; len(problems) != 2 {
		t.Errorf("problems %q", problems)
	}
	if err := c.Activate("other"); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, c, "")
}

// full is a store that takes nothing any more.
type full struct{ control.Store }

func (full) Put(store.Entry) error     { return store.ErrLimit }
func (full) Replace(store.Entry) error { return store.ErrLimit }

// TestKernelWithFullStore: what is not kept is not loaded, and what cannot be undone
// is said.
func TestKernelWithFullStore(t *testing.T) {
	m := newKernelMachine(t)
	c := m.started()
	must[api.Info](t)(c.Load(m.signed("site", "1.0.0")))
	if err := c.Activate("site"); err != nil {
		t.Fatal(err)
	}
	m.wrap = func(s control.Store) control.Store { return full{s} }
	c = m.started()
	_, err := c.Load(m.signed("other", "1.0.0"))
	wantErrno(t, "load", err, unix.ENOSPC)
	wantList(t, c, "site 1.0.0 active")
	_, err = c.Update("site", m.signed("site", "1.1.0"))
	wantErrno(t, "update", err, unix.ENOSPC)
	if !strings.Contains(err.Error(), "only until the next start") {
		t.Errorf("update: %v", err)
	}
	wantList(t, c, "site 1.1.0 active unkept")
	wantSummary(t, c, "enforcing")
}

// TestKernelProofIsRenewed: a self-test of one policy or mode says nothing of the
// next, whoever changed it.
func TestKernelProofIsRenewed(t *testing.T) {
	m := newKernelMachine(t)
	c := m.started()
	must[api.Info](t)(c.Load(m.signed("site", "1.0.0")))
	if err := c.Activate("site"); err != nil {
		t.Fatal(err)
	}
	wantSummary(t, c, "enforcing")
	m.kernel.Lies = true
	if err := errors.Join(m.kernel.Load(m.signed("other", "1.0.0")), m.kernel.Poke("other")); err != nil {
		t.Fatal(err)
	}
	wantSummary(t, c, "NOT ENFORCING: self-test exec-memfd: the policy demands EACCES, the kernel answered ok")
}

// TestKernelIsReadDuringChanges: a reading that a change overtook undoes nothing.
func TestKernelIsReadDuringChanges(t *testing.T) {
	m := newKernelMachine(t)
	c := m.started()
	var place control.Place
	m.kernel.AfterHeld = func() {
		must[api.Info](t)(c.Load(m.signed("site", "1.0.0")))
		place = must[control.Place](t)(c.Place("site"))
	}
	wantList(t, c, "site 1.0.0")
	if _, err := place.Info(); err != nil {
		t.Error(err)
	}
	m.kernel.AfterHeld = func() {
		if err := place.Activate(); err != nil {
			t.Error(err)
		}
	}
	wantList(t, c, "site 1.0.0 active")
	wantProblem(t, c, "")
	wantSummary(t, c, "enforcing")
}
