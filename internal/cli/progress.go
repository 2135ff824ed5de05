package cli

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progressPause is the least time between two lines of progress.
const progressPause = 200 * time.Millisecond

// progress is a line on standard error that says how far a long command is, and
// is gone at the end. There is none if nobody watches a terminal.
type progress struct {
	a     *app
	total int64 // bytes; 0 if it is not known

	mu    sync.Mutex
	done  int64
	last  time.Time
	shown bool
}

func (a *app) progress(total int64) *progress {
	return &progress{a: a, total: total, last: time.Now()}
}

// add counts bytes that are done.
func (p *progress) add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	now := time.Now()
	if now.Sub(p.last) < progressPause {
		return
	}
	p.last = now
	if isTerminal(p.a.stderr) && !p.a.json {
		p.shown = true
		fmt.Fprintf(p.a.stderr, "\r\x1b[K%s", p.line())
	}
}

// upTo is add for those who are told how much is done.
func (p *progress) upTo() func(int64) {
	last := int64(0)
	return func(done int64) {
		p.add(done - last)
		last = done
	}
}

func (p *progress) line() string {
	const mib = 1 << 20
	if p.total == 0 {
		return fmt.Sprintf("%d MiB", p.done/mib)
	}
	return fmt.Sprintf("%3d%%  %d of %d MiB", p.done*100/p.total, p.done/mib, p.total/mib)
}

// aside takes the line away for others that are about to be written to that place, if
// it is a terminal, too.
func (p *progress) aside(out io.Writer) {
	if p != nil && isTerminal(out) {
		p.end()
	}
}

// end takes the line away, until more is done.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		p.shown = false
		fmt.Fprint(p.a.stderr, "\r\x1b[K")
	}
}
