package dmverity

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUncorrectable says that parity cannot undo all errors.
var ErrUncorrectable = errors.New("more errors than parity can undo")

// UncorrectableError says what keeps parity from restoring blocks. It wraps
// ErrUncorrectable. Blocks that are equally far from each other share parity: a group has
// one of each 255-Roots pieces of the volume.
type UncorrectableError struct {
	Roots int
	// Crowded is the number of groups in which more blocks are bad than there are roots.
	Crowded int64
	// Parity is the number of groups with few enough bad blocks, which parity does not
	// restore: it is damaged, or of another volume.
	Parity int64
}

func (e *UncorrectableError) Error() string {
	var why []string
	if e.Crowded > 0 {
		why = append(why, fmt.Sprintf("in %d of the groups of blocks that share parity, more than %d blocks are bad", e.Crowded, e.Roots))
	}
	if e.Parity > 0 {
		why = append(why, fmt.Sprintf("in %d groups, parity itself is damaged, or of another volume or place", e.Parity))
	}
	if len(why) == 0 {
		return ErrUncorrectable.Error()
	}
	return ErrUncorrectable.Error() + ": " + strings.Join(why, "; ")
}

func (e *UncorrectableError) Unwrap() error { return ErrUncorrectable }

// hopeless are the rounds of blocks of which some cannot be restored, by where they begin.
type hopeless struct {
	crowded map[int64]bool // more blocks are bad than parity can restore: none is tried again
	whole   map[int64]bool // nothing is wrong but the digests: none is tried again
	parity  map[int64]bool // parity does not give what the digests want
}

func newHopeless() hopeless {
	return hopeless{crowded: map[int64]bool{}, whole: map[int64]bool{}, parity: map[int64]bool{}}
}

// uncorrectable is the error for what was given up.
func (r *repairer) uncorrectable() error {
	return &UncorrectableError{Roots: r.area.Roots, Crowded: count(r.hopeless.crowded), Parity: count(r.hopeless.parity)}
}

func count(set map[int64]bool) (n int64) {
	for _, is := range set {
		if is {
			n++
		}
	}
	return n
}
