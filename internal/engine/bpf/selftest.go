package bpf

import (
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
)

// recordWait is how long a self-test waits for the record of a denial that it
// provoked; the ring buffer delivers in well under a millisecond.
const recordWait = 2 * time.Second

// probe is an action without side effects that a policy may deny. Its evidence is
// empty: memory, or a file in memory.
type probe struct {
	name string
	hook eval.Hook
	try  func() error
}

func probes() []probe {
	return []probe{
		{"map anonymous memory as executable", eval.HookMmap, tryMmap},
		{"make anonymous memory executable", eval.HookMprotect, tryMprotect},
		{"execute a file in memory (memfd)", eval.HookBprmCheck, tryExec},
	}
}

// SelfTest tries each probe on the live kernel and compares the answers with what
// a demands in the present mode. A denial counts only together with its record, so
// that another module's refusal is not taken for ours. After a test with a denial, or
// with nothing unclear, programs of other builds of the engine are detached.
func (e *Engine) SelfTest(a engine.Active) (engine.SelfTest, error) {
	st := engine.SelfTest{Time: time.Now()}
	state, err := e.State()
	if err != nil {
		return st, fmt.Errorf("self-test: %w", err)
	}
	t := tester{engine: e, active: a, enforce: state.Mode.Enforce}
	if st.Probes, err = t.runAll(); err != nil {
		return st, fmt.Errorf("self-test: %w", err)
	}
	sure := true
	for _, p := range st.Probes {
		sure = sure && p.OK
		st.Failed = st.Failed || !p.OK && !p.Unclear
		st.DenialSeen = st.DenialSeen || p.OK && p.Want == denied
	}
	st.DenialSeen = st.DenialSeen && !st.Failed
	if state.ID != a.ID || !st.DenialSeen && !sure {
		return st, nil
	}
	e.remember(a)
	if err := e.removeOtherBuilds(); err != nil {
		e.log.Error("another build of the engine stays attached", "error", err)
	}
	return st, nil
}

// remember notes what the tables were made from, which a process that adopted them
// learns only now.
func (e *Engine) remember(a engine.Active) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.active == nil {
		e.active = &a
	}
}

// What a probe may meet.
const (
	denied  = "EACCES"
	allowed = "ok"
)

// tester is one run of all probes, by a thread with a name that nobody else has, so
// that its records can be told from those of all others.
type tester struct {
	engine  *Engine
	active  engine.Active
	enforce bool
	comm    string
	seen    [eval.HookKernelLoad + 1]atomic.Int32
}

func (t *tester) runAll() ([]engine.Probe, error) {
	defer t.engine.events.watch(t.note)()
	t.comm = "ipe-" + rand.Text()[:11]
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// This may be the process's first thread, whose name is the process's.
	var before, name [commSize]byte
	copy(name[:], t.comm)
	if err := unix.Prctl(unix.PR_GET_NAME, uintptr(unsafe.Pointer(&before)), 0, 0, 0); err != nil {
		return nil, fmt.Errorf("read thread's name: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name)), 0, 0, 0); err != nil {
		return nil, fmt.Errorf("name thread: %w", err)
	}
	var results []engine.Probe
	for _, p := range probes() {
		results = append(results, t.run(p))
	}
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&before)), 0, 0, 0); err != nil {
		return nil, fmt.Errorf("name thread as before: %w", err)
	}
	return results, nil
}

// commSize is TASK_COMM_LEN, the final NUL included.
const commSize = 16

// note counts the denials of the tester's thread.
func (t *tester) note(ev engine.Event) {
	if ev.Comm == t.comm && ev.Decision.Action == policy.Deny && int(ev.Event.Hook) < len(t.seen) {
		t.seen[ev.Event.Hook].Add(1)
	}
}

func (t *tester) run(p probe) engine.Probe {
	event := eval.Event{Op: policy.OpExecute, Hook: p.hook, Evidence: eval.Evidence{Unavailable: t.engine.Unavailable()}}
	r := engine.Probe{Name: p.name, Want: allowed, Got: allowed}
	if t.enforce && eval.Decide(t.active.Policy, event).Action == policy.Deny {
		r.Want = denied
	}
	err := p.try()
	switch {
	case errors.Is(err, errSetup), err != nil && !errors.Is(err, unix.EACCES):
		r.Got, r.Unclear = err.Error(), true
	case err == nil:
		r.OK = r.Want == allowed
	default:
		t.judgeDenial(&r, p.hook)
	}
	return r
}

// judgeDenial tells our denial, by its record, from another module's. In permissive
// mode there is a record, too, but then the refusal is not ours.
func (t *tester) judgeDenial(r *engine.Probe, h eval.Hook) {
	r.Got = denied
	ours := t.enforce && t.wait(h)
	r.OK = ours && r.Want == denied
	if !ours {
		r.Got, r.Unclear = denied+", of which there is no record: something else refused, or the record was lost", true
	}
}

func (t *tester) wait(h eval.Hook) bool {
	for end := time.Now().Add(recordWait); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if t.seen[h].Load() > 0 {
			return true
		}
	}
	return false
}

// errSetup marks what went wrong before the kernel was asked.
var errSetup = errors.New("not tried")

func tryMmap() error {
	mem, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	return unix.Munmap(mem)
}

func tryMprotect() error {
	mem, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return fmt.Errorf("%w: %w", errSetup, err)
	}
	return errors.Join(unix.Mprotect(mem, unix.PROT_READ|unix.PROT_EXEC), unix.Munmap(mem))
}

// tryExec executes a script in memory whose interpreter does not exist. Allowed,
// the script itself is judged and then ENOENT follows, before the point of no
// return; so it never replaces this process.
func tryExec() error {
	fd, err := memfd()
	if err != nil {
		return fmt.Errorf("%w: memfd_create: %w", errSetup, err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte("#!/ipe-self-test/no-such-interpreter\n")); err != nil {
		return fmt.Errorf("%w: write: %w", errSetup, err)
	}
	file := fmt.Sprintf("/proc/self/fd/%d", fd)
	if err := unix.Access(file, unix.X_OK); err != nil {
		return fmt.Errorf("%w: %s: %w", errSetup, file, err)
	}
	return execve(file)
}

func execve(file string) error {
	path, err := unix.BytePtrFromString(file)
	if err != nil {
		return fmt.Errorf("%w: %w", errSetup, err)
	}
	argv := []*byte{path, nil}
	_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&argv[1])))
	if errno == unix.ENOENT {
		return nil
	}
	return errno
}

// memfd makes an executable file in memory; kernels before 6.3 do not know the
// flag that asks for the execute bit.
func memfd() (int, error) {
	fd, err := unix.MemfdCreate("ipe-self-test", unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate("ipe-self-test", 0)
	}
	return fd, err
}
