package trail

import (
	"time"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/strict"
	"github.com/ipe-linux/ipe/policy"
)

const (
	// mergeWindow is the time in which equal decisions are merged.
	mergeWindow = time.Second
	// recordedEach is how many equal decisions have records of their own in that time.
	// People and programs that are denied something try it a few times; a loop is told
	// by its count.
	recordedEach = 16
	// mergeKinds bounds what is told apart in that time. What comes beyond is recorded.
	mergeKinds = 4096
)

// sameness is what makes decisions equal. The process is no part of it: a loop may
// start a new one each time.
type sameness struct {
	uid              uint32
	noUID, enforcing bool
	generation       uint64
	op               policy.Op
	hook             eval.Hook
	decision         eval.Decision
	strict           strict.Rule
	// rule is the statement's text if the engine named the policy.
	rule               string
	comm, path, device string
	inode              uint64
}

func samenessOf(e engine.Event) sameness {
	s := sameness{
		uid: e.UID, noUID: e.NoUID, enforcing: e.Enforcing, generation: e.Generation, op: e.Event.Op, hook: e.Event.Hook,
		decision: e.Decision, strict: e.Rule, comm: e.Comm, path: e.Path, device: e.Device, inode: e.Inode,
	}
	if e.Policy != nil {
		s.rule = api.RuleText(e.Policy, e.Event.Op, e.Decision)
	}
	return s
}

// merger finds equal decisions. The first of them stand for themselves; of the others
// there is, at the end of the window, the last one and how many they were.
type merger struct {
	end   time.Time
	kinds map[sameness]*kind
	// order has the kinds of which some are held, in the order in which that began.
	order []*kind
	// held counts what is in no record yet.
	held uint64
}

// kind is all equal decisions of a window.
type kind struct {
	seen, held uint64
	last       engine.Event
	// policy is that of last, nil if it is forgotten.
	policy *policy.Policy
}

// over reports whether the window has ended, and begins one if there is none.
func (m *merger) over(now time.Time) bool {
	if m.end.IsZero() {
		m.end = now.Add(mergeWindow)
	}
	return !now.Before(m.end)
}

// alone reports whether e is to be recorded by itself; if not, it is held.
func (m *merger) alone(e engine.Event, p *policy.Policy) bool {
	key := samenessOf(e)
	k := m.kinds[key]
	if k == nil {
		if len(m.kinds) >= mergeKinds {
			return true
		}
		if m.kinds == nil {
			m.kinds = map[sameness]*kind{}
		}
		k = &kind{}
		m.kinds[key] = k
	}
	k.seen++
	if k.seen <= recordedEach {
		return true
	}
	if k.held == 0 {
		m.order = append(m.order, k)
	}
	k.held++
	k.last, k.policy = e, p
	m.held++
	return false
}

// flush ends the window and returns what was held in it.
func (m *merger) flush() []*kind {
	held := m.order
	*m = merger{}
	return held
}
