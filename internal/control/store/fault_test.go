package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/control/store/storetest"
)

// changes are all ways to change a store that is as prepare left it.
var changes = map[string]func(*store.Store) error{
	"put":            func(s *store.Store) error { return s.Put(entry("new", v(1, 0, 0))) },
	"replace":        func(s *store.Store) error { return s.Replace(entry("idle", v(2, 0, 0))) },
	"replace active": func(s *store.Store) error { return s.Replace(entry("p", v(2, 0, 0))) },
	"delete":         func(s *store.Store) error { return s.Delete("idle") },
	"activate":       func(s *store.Store) error { return s.SetActive("idle") },
	"mode":           func(s *store.Store) error { return s.SetMode(store.Mode{SuccessAudit: true}) },
}

// prepare makes a store with an active policy at floor 1.5.0, an inactive one,
// and the floor of a deleted one.
func prepare(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "state")
	s, err := store.OpenOn(storetest.Healthy(), dir)
	ok(t, err)
	ok(t, s.Put(entry("gone", v(7, 0, 0))))
	ok(t, s.SetActive("gone"))
	ok(t, s.Put(entry("p", v(1, 5, 0))))
	ok(t, s.SetActive("p"))
	ok(t, s.Delete("gone"))
	ok(t, s.Put(entry("idle", v(1, 0, 0))))
	ok(t, s.Close())
	return dir
}

// expected returns what a store shows before and after a change.
func expected(t *testing.T, change func(*store.Store) error) (before, after dump) {
	t.Helper()
	dir := prepare(t)
	s := open(t, dir)
	before = dumpOf(t, s)
	ok(t, change(s))
	after = dumpOf(t, reopen(t, s, dir))
	if cmp.Equal(before, after) {
		t.Fatal("change changes nothing")
	}
	return before, after
}

// run opens the store on disk, applies change and lets go.
func run(t *testing.T, disk *storetest.Disk, dir string, change func(*store.Store) error) error {
	t.Helper()
	s, err := store.OpenOn(disk, dir)
	if err != nil {
		return err
	}
	err = change(s)
	ok(t, s.Close())
	return err
}

// TestCrash cuts power at every step of opening and changing a store. Whatever
// the disk has kept, the store opens again in the old state or the new one,
// whole, and in the new one if the change was reported done.
func TestCrash(t *testing.T) {
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, after := expected(t, change)
			for _, keep := range []storetest.Keep{storetest.KeepNothing, storetest.KeepNames, storetest.KeepAll} {
				for step, done := 1, false; !done; step++ {
					dir := prepare(t)
					disk := storetest.CrashAt(step)
					err := run(t, disk, dir, change)
					disk.PowerCut(t, keep)
					got := dumpOf(t, open(t, dir))
					if !cmp.Equal(got, after) && (err == nil || !cmp.Equal(got, before)) {
						t.Errorf("keep %v, step %d (%v): %s", keep, step, err, cmp.Diff(before, got))
					}
					done = !disk.Faulted()
				}
			}
		})
	}
}

// TestCrashAndDamage cuts power at every step and then loses one of the two copies:
// the other one has the state before the change, or after it.
func TestCrashAndDamage(t *testing.T) {
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := prepare(t)
			s := quick(t, dir)
			before := essentialOf(t, s)
			ok(t, change(s))
			after := essentialOf(t, s)
			for _, lost := range []string{"index", "copy"} {
				for step, done := 1, false; !done; step++ {
					dir, disk := prepare(t), storetest.CrashAt(step)
					_ = run(t, disk, dir, change) // TestCrash looks at it
					disk.PowerCut(t, storetest.KeepNothing)
					ok(t, os.Remove(filepath.Join(dir, lost)))
					if got := essentialOf(t, quick(t, dir)); !cmp.Equal(got, before) && !cmp.Equal(got, after) {
						t.Errorf("without %s, step %d: %s", lost, step, cmp.Diff(before, got))
					}
					done = !disk.Faulted()
				}
			}
		})
	}
}

// TestShownStateIsDurable kills the process at every step, starts it again and
// then cuts power: what the second process showed must be there for a third.
func TestShownStateIsDurable(t *testing.T) {
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for step, done := 1, false; !done; step++ {
				dir := prepare(t)
				disk := storetest.CrashAt(step)
				err := run(t, disk, dir, change)
				done = !disk.Faulted()
				disk.Restart()
				s, openErr := store.OpenOn(disk, dir)
				ok(t, openErr)
				shown := dumpOf(t, s)
				ok(t, s.Close())
				disk.PowerCut(t, storetest.KeepNothing)
				if diff := cmp.Diff(shown, dumpOf(t, open(t, dir))); diff != "" {
					t.Errorf("step %d (%v): %s", step, err, diff)
				}
			}
		})
	}
}

// TestFault fails a single step and goes on. An error means the old state, or
// ErrFailed; either way the store opens again, old or new, and can be changed.
func TestFault(t *testing.T) {
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, after := expected(t, change)
			for step, done := 1, false; !done; step++ {
				dir := prepare(t)
				disk := storetest.FailAt(step)
				checkFault(t, fmt.Sprint("step ", step), disk, dir, change, before, after)
				got := dumpOf(t, open(t, dir))
				if !cmp.Equal(got, before) && !cmp.Equal(got, after) {
					t.Errorf("step %d: reopened as %s", step, cmp.Diff(before, got))
				}
				done = !disk.Faulted()
			}
		})
	}
}

func checkFault(t *testing.T, at string, disk *storetest.Disk, dir string, change func(*store.Store) error, before, after dump) {
	t.Helper()
	s, err := store.OpenOn(disk, dir)
	if err != nil {
		if !errors.Is(err, storetest.ErrFault) {
			t.Errorf("%s: open: %v", at, err)
		}
		return
	}
	defer func() { ok(t, s.Close()) }()
	err = change(s)
	want := before
	if err == nil {
		want = after
	}
	if diff := cmp.Diff(want, dumpOf(t, s)); diff != "" {
		t.Errorf("%s: after %v: %s", at, err, diff)
	}
	switch {
	case errors.Is(err, store.ErrFailed):
		if err := change(s); !errors.Is(err, store.ErrFailed) {
			t.Errorf("%s: changed after an uncertain write: %v", at, err)
		}
	case err != nil:
		if err := change(s); err != nil {
			t.Errorf("%s: second attempt: %v", at, err)
		}
	}
}

// TestCrashWhileNew cuts power at every step of making a store.
func TestCrashWhileNew(t *testing.T) {
	for _, keep := range []storetest.Keep{storetest.KeepNothing, storetest.KeepNames, storetest.KeepAll} {
		for step, done := 1, false; !done; step++ {
			dir := filepath.Join(t.TempDir(), "state")
			disk := storetest.CrashAt(step)
			put := func(s *store.Store) error { return s.Put(entry("p", v(1, 0, 0))) }
			err := run(t, disk, dir, put)
			disk.PowerCut(t, keep)
			if got := open(t, dir).List(); len(got) > 1 || len(got) == 0 && err == nil {
				t.Errorf("keep %v, step %d (%v): %v", keep, step, err, got)
			}
			done = !disk.Faulted()
		}
	}
}
