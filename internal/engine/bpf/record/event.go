package record

import (
	"fmt"
	"structs"
	"time"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/ruletab"
	"github.com/ipe-linux/ipe/internal/strict"
	"github.com/ipe-linux/ipe/policy"
)

// event is struct event of bpf/events.h. What was found of the path follows it.
type event struct {
	_          structs.HostLayout
	BootNs     uint64
	Generation uint64
	Ino        uint64
	Tgid       uint32
	UID        uint32
	First      uint32
	Fallback   uint32
	Present    uint32
	Op         uint8
	Hook       uint8
	Enforcing  uint8
	HasFile    uint8
	PathKind   uint8
	_          [7]uint8
	Comm       [16]uint8
	Device     [32]uint8
	Root       eventDigest
	File       eventDigest
}

type eventDigest struct {
	Alg [ruletab.AlgSize]uint8
	Sum [ruletab.SumSize]uint8
	Len uint8
	_   [7]uint8
}

// ofRule is the operation in a record of a strict rule (RECORD_RULE).
const ofRule = 0xff

// Decode reads a record of the ring buffer. wall converts the time since boot, which is
// what a record has.
func Decode(raw []byte, wall func(sinceBoot time.Duration) time.Time) (engine.Event, error) {
	var e event
	if err := view(raw, &e); err != nil {
		return engine.Event{}, fmt.Errorf("decode record: %w", err)
	}
	ev := engine.Event{
		Time:       wall(time.Duration(e.BootNs)),
		Generation: e.Generation,
		Enforcing:  e.Enforcing != 0,
		PID:        e.Tgid,
		UID:        e.UID,
		Comm:       text(e.Comm[:]),
		Device:     text(e.Device[:]),
		Inode:      e.Ino,
	}
	if e.HasFile != 0 {
		ev.Path = spellPath(pathKind(e.PathKind), raw[sizeOf[event]():], e.Ino)
	}
	if e.Op == ofRule {
		return ofStrict(ev, e.Hook)
	}
	ev.Event, ev.Decision = ruletab.Event(e.Op, e.Hook, e.Present), ruletab.Decision(e.First, e.Fallback)
	var err error
	if e.Present&ruletab.NeedRoot != 0 {
		if ev.Event.Evidence.RootHash, err = digestOf(&e.Root.Alg, &e.Root.Sum, e.Root.Len); err != nil {
			return engine.Event{}, fmt.Errorf("decode record: root hash: %w", err)
		}
	}
	if e.Present&ruletab.NeedFile != 0 {
		if ev.Event.Evidence.FileDigest, err = digestOf(&e.File.Alg, &e.File.Sum, e.File.Len); err != nil {
			return engine.Event{}, fmt.Errorf("decode record: file digest: %w", err)
		}
	}
	return ev, nil
}

// ofStrict is the record of a strict rule.
func ofStrict(ev engine.Event, rule uint8) (engine.Event, error) {
	if ev.Rule = strict.Rule(rule); ev.Rule == strict.None || ev.Rule >= strict.Count {
		return engine.Event{}, fmt.Errorf("decode record: strict rule %d, of %d", rule, strict.Count-1)
	}
	ev.Decision = eval.Decision{Action: policy.Deny, Rule: eval.NoRule}
	return ev, nil
}
