//go:build guest

package bpf_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf"
	"github.com/ipe-linux/ipe/internal/lab/await"
)

// surveyed asks for all uses of this process, and for those of others.
func surveyed(t *testing.T, e *bpf.Engine, files ...*os.File) (own, others []engine.Use) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), await.Limit)
	defer cancel()
	began := time.Now()
	err := e.Survey(ctx, files, func(u engine.Use) {
		if u.PID == uint32(os.Getpid()) {
			own = append(own, u)
		} else {
			others = append(others, u)
		}
	})
	if err != nil {
		var ve *engine.VerifierError
		if errors.As(err, &ve) {
			t.Logf("%+v", ve.Log)
		}
		t.Fatal(err)
	}
	t.Logf("%d uses in %v", len(own)+len(others), time.Since(began))
	return own, others
}

// usesOf picks those of one file.
func usesOf(uses []engine.Use, kind engine.UseKind, f *os.File) (of []engine.Use) {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return nil
	}
	for _, u := range uses {
		if u.Kind == kind && (kind != engine.Open || u.File == uint32(f.Fd())) && u.Inode == st.Ino && u.HasFile {
			of = append(of, u)
		}
	}
	return of
}

// TestEngineSurveys: what a survey says of files that are open, and of those that are
// mapped, are the facts by which the engine decides.
func TestEngineSurveys(t *testing.T) {
	mountAll(t)
	e := open(t)
	e.Recall() // of files that earlier tests had open
	sameEvidence := cmp.Comparer(func(a, b eval.Evidence) bool { return fmt.Sprint(a) == fmt.Sprint(b) })
	for _, s := range subjects(t, e) {
		if s.path == "" {
			continue
		}
		f, err := os.Open(s.path)
		if err != nil {
			t.Fatal(err)
		}
		memory, err := unix.Mmap(int(f.Fd()), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		own, _ := surveyed(t, e, f)
		s.facts.Unavailable = 0
		if of := usesOf(own, engine.Open, f); len(of) != 1 {
			t.Errorf("%s: open %d times", s.name, len(of))
		} else if diff := cmp.Diff(s.facts, of[0].Evidence, sameEvidence); diff != "" {
			t.Errorf("%s, open (-want +got):\n%s", s.name, diff)
		}
		at := uint64(uintptr(unsafe.Pointer(&memory[0])))
		if mapped := mappedAt(own, at); mapped == nil {
			t.Errorf("%s: not among what is mapped", s.name)
		} else if diff := cmp.Diff(s.facts, mapped.Evidence, sameEvidence); diff != "" {
			t.Errorf("%s, mapped (-want +got):\n%s", s.name, diff)
		}
		if err := errors.Join(unix.Munmap(memory), f.Close()); err != nil {
			t.Error(err)
		}
	}
}

func mappedAt(uses []engine.Use, at uint64) *engine.Use {
	for i := range uses {
		if u := &uses[i]; u.Kind == engine.Mapped && u.From <= at && at < u.To {
			return u
		}
	}
	return nil
}

// TestEngineSurveysMemory: memory without a file counts, what the kernel itself puts
// into each process does not; and a file that has lost its name is told.
func TestEngineSurveysMemory(t *testing.T) {
	e := open(t)
	private, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open("/tmp/unlinked", unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o700)
	if err := errors.Join(err, unix.Ftruncate(fd, int64(os.Getpagesize())), unix.Unlink("/tmp/unlinked")); err != nil {
		t.Fatal(err)
	}
	unlinked, err := unix.Mmap(fd, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	own, others := surveyed(t, e)
	address := func(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(&b[0]))) }
	if u := mappedAt(own, address(private)); u == nil || u.HasFile || u.Comm != "guest.test" {
		t.Errorf("anonymous memory: %+v", u)
	}
	if u := mappedAt(own, address(plain)); u != nil {
		t.Errorf("memory that is not executable: %+v", u)
	}
	if u := mappedAt(own, address(unlinked)); u == nil || !u.HasFile || !u.Unlinked {
		t.Errorf("file without a name: %+v", u)
	}
	memory := 0
	for _, u := range own {
		if u.Kind == engine.Mapped && !u.HasFile {
			memory++
		}
	}
	if memory != 1 {
		t.Errorf("%d mappings without a file, want the one that was made", memory)
	}
	var started bool
	for _, u := range others {
		started = started || u.PID == 1 && u.Kind == engine.Started && u.HasFile && u.Evidence.BootVerified
	}
	if !started {
		t.Errorf("process 1 is not there: %+v", others)
	}
	if err := errors.Join(unix.Munmap(private), unix.Munmap(plain), unix.Munmap(unlinked), unix.Close(fd)); err != nil {
		t.Error(err)
	}
}
