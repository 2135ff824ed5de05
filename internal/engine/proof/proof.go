// Package proof tries, on the live kernel, actions that a policy decides, and
// compares the kernel's answers with what the policy demands. It is the same for
// every engine: an engine brings the records by which a denial is told from the
// refusal of another security module.
package proof

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
// provoked, which arrives in well under a millisecond on an idle machine.
const recordWait = 2 * time.Second

// Subject is what is tested.
type Subject struct {
	// Policy is the one that decides.
	Policy *policy.Policy
	// Enforce: denials take effect.
	Enforce bool
	// Unavailable are the properties that are false in both forms.
	Unavailable policy.KeySet
	// Watch has note called for each recorded decision, from any goroutine, until
	// cancel is called.
	Watch func(note func(engine.Event)) (cancel func())
	// Silent says why there can be no records; empty if there can. Denials then prove
	// nothing, for nobody can tell whose they are; what is allowed against the policy
	// still is a failure.
	Silent string
}

// Run tries each probe. A denial counts only together with its record, so that
// another module's refusal is not taken for the engine's.
func Run(s Subject) (engine.SelfTest, error) {
	st := engine.SelfTest{Time: time.Now()}
	t := tester{subject: s}
	var err error
	if st.Probes, err = t.runAll(); err != nil {
		return st, fmt.Errorf("self-test: %w", err)
	}
	for _, p := range st.Probes {
		st.Failed = st.Failed || !p.OK && !p.Unclear
		st.DenialSeen = st.DenialSeen || p.OK && p.Want == denied
	}
	st.DenialSeen = st.DenialSeen && !st.Failed
	return st, nil
}

// What a probe may meet.
const (
	denied  = "EACCES"
	allowed = "ok"
)

// tester is one run of all probes, by a thread with a name that nobody else has, so
// that its records can be told from those of all others.
type tester struct {
	subject Subject
	comm    string
	seen    [eval.HookKernelLoad + 1]atomic.Int32
}

func (t *tester) runAll() ([]engine.Probe, error) {
	t.comm = "ipe-" + rand.Text()[:11]
	defer t.subject.Watch(t.note)()
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
	event := eval.Event{Op: policy.OpExecute, Hook: p.hook, Evidence: eval.Evidence{Unavailable: t.subject.Unavailable}}
	r := engine.Probe{Name: p.name, Want: allowed, Got: allowed}
	if t.subject.Enforce && eval.Decide(t.subject.Policy, event).Action == policy.Deny {
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
	if t.subject.Silent != "" {
		r.Got, r.Unclear = denied+", of which there can be no record: "+t.subject.Silent, true
		return
	}
	ours := t.subject.Enforce && t.wait(h)
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
