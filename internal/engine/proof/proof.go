// Package proof tries, on the live kernel, actions that a policy decides, and
// compares the kernel's answers with what the policy demands. It is the same for
// every engine: an engine brings the records by which a denial is told from the
// refusal of another security module.
package proof

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/strict"
	"github.com/ipe-linux/ipe/policy"
)

// recordWait is how long a self-test waits for the records of the denials that it
// provoked, which arrive in well under a millisecond on an idle machine.
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
	// Lost counts records of this process that will never come; nil if nobody can tell.
	// As soon as there is one more, the test waits no longer.
	Lost func() uint64
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

// tester is one run of all probes, by a thread of this process with a name that no
// other has, so that its records can be told from those of all others. The name alone
// would not do: everybody can read it, and take it.
type tester struct {
	subject Subject
	pid     uint32
	comm    string
	lost    uint64
	seen    [eval.HookKernelLoad + 1]atomic.Int32
}

func (t *tester) runAll() ([]engine.Probe, error) {
	t.pid, t.comm, t.lost = uint32(os.Getpid()), "ipe-"+rand.Text()[:11], t.lostNow()
	defer t.subject.Watch(t.note)()
	answers, err := t.tryAll()
	if err != nil {
		return nil, err
	}
	if t.subject.Silent == "" && t.subject.Enforce {
		t.wait(answers)
	}
	var results []engine.Probe
	for i, p := range probes() {
		results = append(results, t.judge(p, answers[i]))
	}
	return results, nil
}

// tryAll tries each probe and returns what the kernel answered.
func (t *tester) tryAll() (answers []error, err error) {
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
	for _, p := range probes() {
		answers = append(answers, p.try())
	}
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&before)), 0, 0, 0); err != nil {
		return nil, fmt.Errorf("name thread as before: %w", err)
	}
	return answers, nil
}

// commSize is TASK_COMM_LEN, the final NUL included.
const commSize = 16

// note counts the denials of the tester's thread.
func (t *tester) note(ev engine.Event) {
	if ev.Rule == strict.None && ev.PID == t.pid && ev.Comm == t.comm && ev.Decision.Action == policy.Deny && int(ev.Event.Hook) < len(t.seen) {
		t.seen[ev.Event.Hook].Add(1)
	}
}

func (t *tester) lostNow() uint64 {
	if t.subject.Lost == nil {
		return 0
	}
	return t.subject.Lost()
}

// wait waits for the records of the denials among the answers, unless one is lost.
func (t *tester) wait(answers []error) {
	for end := time.Now().Add(recordWait); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if t.complete(answers) || t.lostNow() != t.lost {
			return
		}
	}
}

func (t *tester) complete(answers []error) bool {
	for i, p := range probes() {
		if isDenial(answers[i]) && t.seen[p.hook].Load() == 0 {
			return false
		}
	}
	return true
}

func isDenial(err error) bool { return errors.Is(err, unix.EACCES) && !errors.Is(err, errSetup) }

func (t *tester) judge(p probe, answer error) engine.Probe {
	event := eval.Event{Op: policy.OpExecute, Hook: p.hook, Evidence: eval.Evidence{Unavailable: t.subject.Unavailable}}
	r := engine.Probe{Name: p.name, Want: allowed, Got: allowed}
	if t.subject.Enforce && eval.Decide(t.subject.Policy, event).Action == policy.Deny {
		r.Want = denied
	}
	switch {
	case answer == nil:
		r.OK = r.Want == allowed
	case isDenial(answer):
		t.judgeDenial(&r, p.hook)
	default:
		r.Got, r.Unclear = answer.Error(), true
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
	ours := t.subject.Enforce && t.seen[h].Load() > 0
	r.OK = ours && r.Want == denied
	if !ours {
		r.Got, r.Unclear = denied+", of which there is no record: something else refused, or the record was lost", true
	}
}
