package daemon

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// A start has no limit of time, but each of its steps has: systemd is asked for more
// time as long as there is progress. A machine that is overloaded, or emulated, may take
// minutes; a step that takes longer than stepLimit hangs, on a dead file server. Then
// systemd ends this process when the time is over that it has, and starts another.
const (
	stepLimit = 10 * time.Minute
	extension = 2 * time.Minute
	// extendEvery leaves room for a process that gets the processor late.
	extendEvery = 10 * time.Second
)

// starting tells systemd that the start goes on.
type starting struct {
	log  *slog.Logger
	once sync.Once
	done chan struct{}

	mu    sync.Mutex
	name  string
	since time.Time
}

func beginStart(log *slog.Logger) *starting {
	s := &starting{log: log, done: make(chan struct{}), name: "begin", since: time.Now()}
	s.extend()
	go s.run(extendEvery)
	return s
}

func (s *starting) run(interval time.Duration) {
	every(s.done, interval, func() bool { s.extend(); return true })
}

// step notes what comes next.
func (s *starting) step(name string) {
	s.mu.Lock()
	s.name, s.since = name, time.Now()
	s.mu.Unlock()
	s.extend()
}

// extend asks for time, unless the step hangs.
func (s *starting) extend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if took := time.Since(s.since); took > stepLimit {
		s.log.Error("the start hangs", "step", s.name, "for", took.Round(time.Second))
		return
	}
	notify(s.log, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d\nSTATUS=starting: %s", extension.Microseconds(), s.name))
}

// end says no more. It may be called twice.
func (s *starting) end() { s.once.Do(func() { close(s.done) }) }
