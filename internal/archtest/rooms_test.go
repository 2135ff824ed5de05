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

// inside is what enforces and governs: ipe asks iped, by controlrpc, and has no business there.
var inside = []string{"internal/auditsink", "internal/control", "internal/controlfs", "internal/engine", "internal/preflight", "internal/ruletab", "internal/store"}

// stillInside are the rooms that import one of these all the same, and for what.
var stillInside = map[string]string{
	"internal/cli/machine internal/control":  "the words that status has on the way, until the wire has its own",
	"internal/cli/policies internal/control": "how long a boot policy may be, until the language says so",
	"internal/cli/records internal/control":  "the form that records have on the way, until the wire has one of its own",
}

// within reports whether a package is another or below it.
func within(dir, top string) bool { return dir == top || strings.HasPrefix(dir, top+"/") }

// checkRooms wants each room of ipe to know itself and what all rooms share, that to know
// no room, and all of them nothing of what enforces.
func checkRooms(t *tree) (bad []string) {
	met := map[string]bool{}
	for _, p := range t.sorted() {
		if p.dir == house || !within(p.dir, house) || testOnly(p.dir) {
			continue
		}
		for _, to := range p.siblings(false) {
			if within(to, house) && !within(to, shared) {
				bad = append(bad, fmt.Sprintf("%s: imports %s: rooms share %s, and nothing else", p.dir, to, shared))
			}
			if !slices.ContainsFunc(inside, func(top string) bool { return within(to, top) }) {
				continue
			}
			if met[p.dir+" "+to] = true; stillInside[p.dir+" "+to] == "" {
				bad = append(bad, fmt.Sprintf("%s: imports %s: ipe asks iped", p.dir, to))
			}
		}
	}
	for _, edge := range slices.Sorted(maps.Keys(stillInside)) {
		if from, to, _ := strings.Cut(edge, " "); t.packages[from] != nil && !met[edge] {
			bad = append(bad, fmt.Sprintf("%s: does not import %s any more: take the exception away", from, to))
		}
	}
	return bad
}
