package ui

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progressPause is the least time between two lines of progress.
const progressPause = 200 * time.Millisecond

// Progress is a line on standard error that says how far a long command is, and
// is gone at the end. There is none if nobody watches a terminal.
type Progress struct {
	u     *UI
	total int64 // bytes; 0 if it is not known

	mu    sync.Mutex
	done  int64
	last  time.Time
	shown bool
}

// Progress begins such a line, of so many bytes; 0 if that is not known.
func (u *UI) Progress(total int64) *Progress {
	return &Progress{u: u, total: total, last: time.Now()}
}

// Add counts bytes that are done.
func (p *Progress) Add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	now := time.Now()
	if now.Sub(p.last) < progressPause {
		return
	}
	p.last = now
	if isTerminal(p.u.stderr) && !p.u.JSON {
		p.shown = true
		fmt.Fprintf(p.u.stderr, "\r\x1b[K%s", p.line())
	}
}

// UpTo is Add for those who are told how much is done.
func (p *Progress) UpTo() func(int64) {
	last := int64(0)
	return func(done int64) {
		p.Add(done - last)
		last = done
	}
}

func (p *Progress) line() string {
	const mib = 1 << 20
	if p.total == 0 {
		return fmt.Sprintf("%d MiB", p.done/mib)
	}
	return fmt.Sprintf("%3d%%  %d of %d MiB", p.done*100/p.total, p.done/mib, p.total/mib)
}

// MakeWay takes the line away for a result that is about to be printed, if that goes to a
// terminal, too. It does nothing for nil.
func (p *Progress) MakeWay() {
	if p != nil {
		p.aside(p.u.stdout)
	}
}

// aside is MakeWay for what goes anywhere.
func (p *Progress) aside(out io.Writer) {
	if p != nil && isTerminal(out) {
		p.End()
	}
}

// End takes the line away, until more is done.
func (p *Progress) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		p.shown = false
		fmt.Fprint(p.u.stderr, "\r\x1b[K")
	}
}
