package control_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/engine"
)

const (
	bootName    = "boot"
	bootVersion = 2
)

var (
	errDisk   = errors.New("disk is full")
	errKernel = fmt.Errorf("map is full: %w", unix.E2BIG)
	killed    = errors.New("killed")
)

// world is the model: what the semantics say the state is. Versions are the minor
// numbers.
type world struct {
	Policies map[string]int
	Active   string
	// Stored is the active policy that a restart finds.
	Stored string
	Floors map[string]int
	Mode   api.Mode
	// Unsigned: the boot policy of that name is the one given at start.
	Unsigned bool
}

func (w world) clone() world {
	w.Policies, w.Floors = maps.Clone(w.Policies), maps.Clone(w.Floors)
	return w
}

func (w *world) choose(name string) {
	w.Active = name
	if name == bootName && w.Unsigned {
		return
	}
	w.Stored = name
	w.Floors[name] = max(w.Floors[name], w.Policies[name])
}

// restart is what a new daemon makes of the state.
func (w *world) restart() {
	if _, taken := w.Policies[bootName]; !taken || w.Unsigned {
		w.Policies[bootName], w.Unsigned = bootVersion, true
	}
	w.Active = w.Stored
	if w.Active == "" {
		w.Active = bootName
	}
}

func (w *world) load(name string, v int) unix.Errno {
	if _, ok := w.Policies[name]; ok {
		return unix.EEXIST
	}
	if v < w.Floors[name] {
		return unix.ESTALE
	}
	w.Policies[name] = v
	if name == bootName {
		w.Unsigned = false
	}
	return 0
}

func (w *world) update(name, inside string, v int) unix.Errno {
	have, ok := w.Policies[name]
	switch {
	case !ok:
		return unix.ENOENT
	case inside != name:
		return unix.EINVAL
	case v <= have, v < w.Floors[name]:
		return unix.ESTALE
	}
	w.Policies[name] = v
	if name == bootName {
		w.Unsigned = false
	}
	if w.Active == name {
		w.choose(name)
	} else if w.Stored == name {
		w.Floors[name] = v
	}
	return 0
}

func (w *world) activate(name string) unix.Errno {
	v, ok := w.Policies[name]
	switch {
	case !ok:
		return unix.ENOENT
	case w.Active == name:
		return 0
	case w.Policies[w.Active] > v:
		return unix.EINVAL
	}
	w.choose(name)
	return 0
}

func (w *world) delete(name string) unix.Errno {
	if _, ok := w.Policies[name]; !ok {
		return unix.ENOENT
	}
	if w.Active == name || w.Stored == name {
		return unix.EPERM
	}
	delete(w.Policies, name)
	return 0
}

// hazard goes wrong at a chosen one of the steps that change something.
type hazard struct {
	control.Store
	fail, kill int // steps to go; 0 is never
	after      bool
}

func (h *hazard) around(do func() error) error {
	h.fail--
	h.kill--
	if h.fail == 0 {
		return errDisk
	}
	if h.kill == 0 && !h.after {
		panic(killed)
	}
	err := do()
	if h.kill == 0 {
		panic(killed)
	}
	return err
}

func (h *hazard) Put(e store.Entry) error {
	return h.around(func() error { return h.Store.Put(e) })
}
func (h *hazard) Replace(e store.Entry) error {
	return h.around(func() error { return h.Store.Replace(e) })
}
func (h *hazard) Delete(name string) error {
	return h.around(func() error { return h.Store.Delete(name) })
}
func (h *hazard) SetActive(name string) error {
	return h.around(func() error { return h.Store.SetActive(name) })
}

// SetMode does not fail, for a mode that is not kept is no error; see TestBrake.
func (h *hazard) SetMode(m store.Mode) error {
	if h.fail == 1 {
		h.fail = 0
	}
	return h.around(func() error { return h.Store.SetMode(m) })
}

// walker drives a machine and the model side by side.
type walker struct {
	t      *testing.T
	rng    *rand.Rand
	m      *machine
	hazard *hazard
	c      *running
	w      world
	signed map[string][]byte
}

func (k *walker) envelope(name string, v int) []byte {
	key := fmt.Sprint(name, v)
	if k.signed[key] == nil {
		k.signed[key] = k.m.signed(name, fmt.Sprintf("1.%d.0", v))
	}
	return k.signed[key]
}

// step draws an operation: what to do, and what the model makes of it.
func (k *walker) step() (what string, do func() error, model func(*world) unix.Errno) {
	names := []string{"a", "b", "c", bootName}
	name, other, v := names[k.rng.IntN(len(names))], names[k.rng.IntN(len(names))], k.rng.IntN(7)
	switch k.rng.IntN(10) {
	case 0, 1, 2:
		return fmt.Sprint("load ", name, v), func() error { _, err := k.c.Load(k.envelope(name, v)); return err },
			func(w *world) unix.Errno { return w.load(name, v) }
	case 3, 4:
		if k.rng.IntN(8) > 0 {
			other = name
		}
		return fmt.Sprint("update ", name, " by ", other, v),
			func() error { _, err := k.c.Update(name, k.envelope(other, v)); return err },
			func(w *world) unix.Errno { return w.update(name, other, v) }
	case 5, 6, 7:
		return "activate " + name, func() error { return k.c.Activate(name) },
			func(w *world) unix.Errno { return w.activate(name) }
	case 8:
		return "delete " + name, func() error { return k.c.Delete(name) },
			func(w *world) unix.Errno { return w.delete(name) }
	}
	mode := api.Mode{Enforce: k.rng.IntN(2) == 0, SuccessAudit: k.rng.IntN(2) == 0}
	return fmt.Sprintf("mode %+v", mode), func() error { return k.c.setMode(mode) },
		func(w *world) unix.Errno { w.Mode = mode; return 0 }
}

// attempt runs do and reports whether the daemon was killed in it.
func attempt(do func() error) (dead bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			if p != any(killed) {
				panic(p)
			}
			dead = true
		}
	}()
	return false, do()
}

func (k *walker) restart() {
	*k.hazard = hazard{}
	k.m.engine.BeforeActivate, k.m.engine.AfterActivate = nil, nil
	k.c = k.m.started()
}

// seen is the real state in the model's terms; floors come from the store.
func (k *walker) seen() world {
	s := world{Policies: map[string]int{}, Floors: map[string]int{}, Mode: k.c.Mode()}
	for _, i := range k.c.List() {
		var v int
		fmt.Sscanf(i.Version, "1.%d.0", &v)
		s.Policies[i.Name] = v
		if i.Active {
			s.Active = i.Name
		}
		if i.Name == bootName {
			s.Unsigned = i.Boot
		}
	}
	s.Stored, _ = k.m.store.Active()
	for name, v := range k.m.store.Floors() {
		s.Floors[name] = int(v.Minor)
	}
	return s
}

// check compares reality with the model and the engine with both.
func (k *walker) check(what string, want ...world) {
	k.t.Helper()
	got := k.seen()
	diff := ""
	for _, w := range want {
		if _, ok := w.Policies[bootName]; !ok {
			w.Unsigned = false
		}
		if diff = cmp.Diff(w, got); diff == "" {
			k.w = w
			break
		}
	}
	if diff != "" {
		k.t.Fatalf("after %s (-want +got):\n%s", what, diff)
	}
	st := k.c.Status()
	if st.Active == nil || st.KernelSHA256 != st.Active.SHA256 || st.Kernel.Mode != got.Mode || len(st.Problems) > 0 {
		k.t.Fatalf("after %s: engine and daemon differ: %+v", what, st)
	}
}

// TestRandomWalk compares thousands of operations, errors of disk and kernel,
// kills and restarts with the model.
func TestRandomWalk(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { walk(t, seed, 300) })
	}
}

func walk(t *testing.T, seed uint64, steps int) {
	k := &walker{t: t, rng: rand.New(rand.NewPCG(seed, 1)), m: newMachine(t), hazard: &hazard{}, signed: map[string][]byte{},
		w: world{Policies: map[string]int{}, Floors: map[string]int{}, Mode: api.Mode{Enforce: true}}}
	k.m.boot = text(bootName, fmt.Sprintf("1.%d.0", bootVersion))
	k.m.wrap = func(s control.Store) control.Store { k.hazard.Store = s; return k.hazard }
	k.restart()
	k.w.restart()
	for i := range steps {
		what, do, model := k.step()
		what = fmt.Sprintf("step %d, %s", i, what)
		before, after := k.w.clone(), k.w.clone()
		want := model(&after)
		if want != 0 {
			after = before.clone()
		}
		switch k.rng.IntN(8) {
		case 0:
			k.failing(what, do, before, after)
		case 1:
			k.killing(what, do, before, after)
		case 2:
			k.restart()
			k.w.restart()
			k.check("restart before "+what, k.w)
		default:
			switches := k.m.engine.Activations
			wantErrno(t, what, do(), want)
			k.check(what, after)
			if want != 0 && k.m.engine.Activations != switches {
				t.Fatalf("%s: refused after the engine had switched", what)
			}
		}
	}
}

// failing runs an operation with a disk or kernel that fails: it either was not
// needed or nothing has changed.
func (k *walker) failing(what string, do func() error, before, after world) {
	if k.rng.IntN(2) == 0 {
		k.hazard.fail = 1
	} else {
		k.m.engine.BeforeActivate = func(engine.Active) error { return errKernel }
	}
	err := do()
	k.hazard.fail, k.m.engine.BeforeActivate = 0, nil
	if errors.Is(err, errDisk) || errors.Is(err, errKernel) {
		k.check(what+" failing", before)
		return
	}
	k.check(what+" in spite of failures elsewhere", after)
}

// killing runs an operation and kills the daemon somewhere in it. Whatever it was,
// the new daemon has finished it or knows nothing of it.
func (k *walker) killing(what string, do func() error, before, after world) {
	die := func() { panic(killed) }
	switch k.rng.IntN(4) {
	case 0:
		k.hazard.kill, k.hazard.after = 1, false
	case 1:
		k.hazard.kill, k.hazard.after = 1, true
	case 2:
		k.m.engine.BeforeActivate = func(engine.Active) error { die(); return nil }
	case 3:
		k.m.engine.AfterActivate = die
	}
	dead, _ := attempt(do)
	k.restart()
	before.restart()
	after.restart()
	if dead {
		k.check(what+", killed in it", before, after)
		return
	}
	k.check(what+", then restarted", after)
}

// TestKilledActivationIsFinished: the engine decides by a stored policy, the store
// names another; the restart moves forward, not back.
func TestKilledActivationIsFinished(t *testing.T) {
	m := newMachine(t)
	c := m.started()
	for _, name := range []string{"a", "b"} {
		if _, err := c.Load(m.signed(name, "1.0.0")); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Activate("a"); err != nil {
		t.Fatal(err)
	}
	m.engine.AfterActivate = func() { panic(killed) }
	if dead, err := attempt(func() error { return c.Activate("b") }); !dead {
		t.Fatalf("not killed, error %v", err)
	}
	m.engine.AfterActivate = nil
	before := m.engine.Activations
	c = m.started()
	if s := c.Status(); s.Active.Name != "b" || s.Summary != "enforcing" || m.engine.Activations != before {
		t.Errorf("active %s, %s, %d switches; want b adopted", s.Active.Name, s.Summary, m.engine.Activations-before)
	}
	if name, _ := m.store.Active(); name != "b" {
		t.Errorf("stored active is %q, want b", name)
	}
}
