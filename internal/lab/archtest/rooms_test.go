package archtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// house is where the rooms of ipe are; shared is what all of them may use.
const (
	house  = "internal/cli"
	shared = house + "/ui"
)

// ask is the program that all of them are in.
const ask = "cmd/ipe"

// talk is all of control that whoever asks brings along.
var talk = []string{"internal/control/api", "internal/control/rpc/client"}

// isInside reports whether a package is of what enforces, governs and stores.
func isInside(dir string) bool {
	w := wingOf(dir)
	return w != nil && (w.name == engines || w.name == governs) && !slices.Contains(talk, dir)
}

// within reports whether a package is another or below it.
func within(dir, top string) bool { return dir == top || strings.HasPrefix(dir, top+"/") }

// checkRooms wants each room of ipe to know itself and what all rooms share, and that to
// know no room. What else they may import is their wing's.
func checkRooms(t *tree) (bad []string) {
	for _, p := range t.sorted() {
		if p.dir == house || !within(p.dir, house) || forTests(p.dir) {
			continue
		}
		for _, to := range p.siblings(false) {
			if within(to, house) && !within(to, shared) {
				bad = append(bad, fmt.Sprintf("%s: imports %s: rooms share %s, and nothing else", p.dir, to, shared))
			}
		}
	}
	return bad
}

// checkAsk wants the whole program to have nothing of that in it, by any way round.
func checkAsk(t *tree) (bad []string) {
	ways := t.reach(ask)
	for _, to := range slices.Sorted(maps.Keys(ways)) {
		if isInside(to) {
			bad = append(bad, fmt.Sprintf("%s has %s in it: %s: ipe asks iped", ask, to, strings.Join(ways[to], " -> ")))
		}
	}
	return bad
}
