package bpf

import (
	"fmt"

	"github.com/ipe-linux/ipe/internal/engine"
)

// tellLeftOut says which programs the kernel has left out, as it does while the same one is
// at work on the same processor: with those of hooks before Linux 6.2, with those that trace
// functions on all. A kernel that preempts itself has another process go on unjudged.
func (p *pinned) tellLeftOut(s *engine.State) error {
	for _, h := range hooks() {
		l := p.links.get(h.name)
		if l == nil || h.mapper {
			continue // what follows tables takes the facts of volumes away: see checkMissed
		}
		n, err := misses(l)
		if err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
		if n > 0 {
			s.Problems = append(s.Problems, fmt.Sprintf("the kernel has left out the program on %s %d times, while it was at work for another process on the same processor: "+
				"nothing was %s then; boot without preempt=full", h.name, n, h.leftUndone()))
		}
	}
	return nil
}

func (h hook) leftUndone() string {
	if h.remembers != "" && len(h.rules) == 0 {
		return "remembered"
	}
	return "judged"
}
