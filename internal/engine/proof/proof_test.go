package proof

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
)

func deny(t *testing.T) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte("policy_name=p policy_version=0.0.1\nDEFAULT action=DENY\n"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// newTester is a tester whose probes were all refused.
func newTester(t *testing.T, lost func() uint64) (*tester, []error) {
	t.Helper()
	var answers []error
	for range probes() {
		answers = append(answers, unix.EACCES)
	}
	return &tester{subject: Subject{Policy: deny(t), Enforce: true, Lost: lost}, pid: uint32(os.Getpid()), comm: "ipe-test"}, answers
}

func record(pid uint32, comm string, h eval.Hook) engine.Event {
	return engine.Event{PID: pid, Comm: comm, Event: eval.Event{Op: policy.OpExecute, Hook: h}, Decision: eval.Decision{Action: policy.Deny}}
}

// TestRecordsOfOthers: a process that has taken the name of the tester's thread proves
// nothing, nor does another thread of this process.
func TestRecordsOfOthers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		pid   uint32
		comm  string
		proof bool
	}{
		{"the tester's", uint32(os.Getpid()), "ipe-test", true},
		{"another process of the name", uint32(os.Getpid()) + 1, "ipe-test", false},
		{"another thread", uint32(os.Getpid()), "ipe", false},
	} {
		tester, answers := newTester(t, nil)
		for _, p := range probes() {
			tester.note(record(tt.pid, tt.comm, p.hook))
		}
		if tester.complete(answers) != tt.proof {
			t.Errorf("%s: all records are there: %v", tt.name, !tt.proof)
		}
		for i, p := range probes() {
			if r := tester.judge(p, answers[i]); r.OK != tt.proof || r.Unclear == tt.proof || r.Want != denied {
				t.Errorf("%s: %+v", tt.name, r)
			}
		}
	}
}

// TestLostRecordIsNotAwaited: once a record of ours is lost, there is nothing to wait for.
func TestLostRecordIsNotAwaited(t *testing.T) {
	asked := 0
	tester, answers := newTester(t, func() uint64 { asked++; return uint64(asked / 2) })
	start := time.Now()
	tester.wait(answers)
	if d := time.Since(start); asked != 2 || d >= recordWait {
		t.Errorf("waited %v, asked %d times", d, asked)
	}
}

// TestWaitIsBounded: all records together are waited for as long as one.
func TestWaitIsBounded(t *testing.T) {
	tester, answers := newTester(t, nil)
	start := time.Now()
	tester.wait(answers)
	if d := time.Since(start); d < recordWait || d >= time.Duration(len(answers))*recordWait {
		t.Errorf("waited %v for records that do not come, want %v", d, recordWait)
	}
}
