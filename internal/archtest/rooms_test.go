package archtest

import (
	"fmt"
	"strings"
)

// house is where the rooms of ipe are; shared is what all of them may use.
const (
	house  = "internal/cli"
	shared = house + "/ui"
)

// within reports whether a package is another or below it.
func within(dir, top string) bool { return dir == top || strings.HasPrefix(dir, top+"/") }

// checkRooms wants each room of ipe to know itself and what all rooms share, and that to
// know no room.
func checkRooms(t *tree) (bad []string) {
	for _, p := range t.sorted() {
		if p.dir == house || !within(p.dir, house) || testOnly(p.dir) {
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
