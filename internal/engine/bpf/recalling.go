package bpf

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf/btf"

	"github.com/ipe-linux/ipe/internal/engine/bpf/recall"
	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/policy"
)

// recallPatience is how long a policy that asks for signatures waits for the recall.
// Active before, it denies for a moment what is signed and was in memory at the start,
// the C library above all. Not active, it denies nothing. A recall takes a second; one
// that takes longer hangs on a dead file server, or the machine is overloaded.
const recallPatience = 10 * time.Second

// recalling is the recall of one start, which runs once, beside everything else.
type recalling struct {
	types      *btf.Cache
	keepCaches bool
	once       sync.Once
	done       chan struct{}
}

// begin starts the recall, if nobody has, and returns what is closed at its end.
func (r *recalling) begin(e *Engine) <-chan struct{} {
	r.once.Do(func() {
		go func() {
			defer close(r.done)
			if f, _ := e.report.Load().Feature(abi.PropFSVeritySigned); f.State != abi.No {
				recall.Run(e.log, e.maps, r.types, r.keepCaches)
			}
			e.noteRecall()
			r.types = nil // tens of megabytes
			releaseTypes()
		}()
	})
	return r.done
}

// wait waits for a recall that has begun, and lets none begin.
func (r *recalling) wait() {
	if r == nil {
		return
	}
	r.once.Do(func() { close(r.done) })
	<-r.done
}

// Recall makes up for signatures that the kernel verified before this engine listened.
func (e *Engine) Recall() {
	if e.pending != nil {
		<-e.pending.begin(e)
	}
}

// recallFirst is Recall with an end.
func (e *Engine) recallFirst() {
	if e.pending == nil {
		return
	}
	select {
	case <-e.pending.begin(e):
	case <-time.After(recallPatience):
		e.log.Warn("the policy is activated before all signatures are known: fs-verity files that were in memory count as not signed until then")
	}
}

// recalledMark is a directory beside the pins, which can hold no file. It says that
// the recall was done since the trackers were attached: a process that is killed
// before leaves it to the next one.
func (p *pinned) recalledMark() string { return filepath.Join(p.dir.root, "recalled") }

func (p *pinned) hasRecalled() bool {
	_, err := os.Lstat(p.recalledMark())
	return err == nil
}

func (p *pinned) noteRecall() {
	p.recalled.Store(true)
	if err := os.Mkdir(p.recalledMark(), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		p.log.Warn("the next start asks for fs-verity signatures again", "error", err)
	}
}

func (p *pinned) forgetRecall() {
	if err := os.Remove(p.recalledMark()); err != nil && !errors.Is(err, os.ErrNotExist) {
		p.log.Warn("a start that is cut off leaves fs-verity files unknown", "error", err)
	}
}

// asksForSignatures reports whether a decision may depend on an fs-verity signature.
func asksForSignatures(p *policy.Policy) bool {
	return slices.ContainsFunc(p.Rules, func(r policy.Rule) bool {
		return slices.ContainsFunc(r.Properties, func(prop policy.Property) bool { return prop.Key == policy.FSVeritySignature })
	})
}
