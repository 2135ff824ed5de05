package bpf

import (
	"errors"
	"fmt"
	"os"
	"sync"
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
// that another module's refusal is not taken for ours.
func (e *Engine) SelfTest(a engine.Active) (engine.SelfTest, error) {
	st := engine.SelfTest{Time: time.Now()}
	state, err := e.State()
	if err != nil {
		return st, fmt.Errorf("self-test: %w", err)
	}
	seen := &denials{pid: uint32(os.Getpid())}
	defer e.events.subscribe(seen.note)()
	for _, p := range probes() {
		result := e.run(p, a, state.Mode, seen)
		st.Probes = append(st.Probes, result)
		st.Failed = st.Failed || !result.OK
		st.DenialSeen = st.DenialSeen || result.OK && result.Want == denied
	}
	st.DenialSeen = st.DenialSeen && !st.Failed
	return st, nil
}

// What a probe may meet.
const (
	denied  = "EACCES"
	allowed = "ok"
)

func (e *Engine) run(p probe, a engine.Active, mode engine.Mode, seen *denials) engine.Probe {
	event := eval.Event{Op: policy.OpExecute, Hook: p.hook, Evidence: eval.Evidence{Unavailable: e.Unavailable()}}
	r := engine.Probe{Name: p.name, Want: allowed, Got: allowed}
	if mode.Enforce && eval.Decide(a.Policy, event).Action == policy.Deny {
		r.Want = denied
	}
	before := seen.count(p.hook)
	err := p.try()
	switch {
	case errors.Is(err, unix.EACCES) && r.Want == denied:
		if r.Got = denied; !seen.wait(p.hook, before) {
			r.Got = "EACCES from something else"
		}
	case err != nil:
		r.Got = err.Error()
	}
	r.OK = r.Got == r.Want
	return r
}

// denials counts the denials of this process that the kernel recorded, by hook.
type denials struct {
	pid uint32
	mu  sync.Mutex
	n   [eval.HookKernelLoad + 1]int
}

func (d *denials) note(ev engine.Event) {
	if ev.PID != d.pid || ev.Decision.Action != policy.Deny || int(ev.Event.Hook) >= len(d.n) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n[ev.Event.Hook]++
}

func (d *denials) count(h eval.Hook) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n[h]
}

func (d *denials) wait(h eval.Hook, before int) bool {
	for end := time.Now().Add(recordWait); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if d.count(h) > before {
			return true
		}
	}
	return false
}

func tryMmap() error {
	mem, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	return unix.Munmap(mem)
}

func tryMprotect() error {
	mem, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	return errors.Join(unix.Mprotect(mem, unix.PROT_READ|unix.PROT_EXEC), unix.Munmap(mem))
}

// tryExec executes a script in memory whose interpreter does not exist. Allowed,
// the script itself is judged and then ENOENT follows, before the point of no
// return; so it never replaces this process.
func tryExec() error {
	fd, err := memfd()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte("#!/ipe-self-test/no-such-interpreter\n")); err != nil {
		return err
	}
	path, err := unix.BytePtrFromString(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return err
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
