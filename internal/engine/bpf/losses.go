package bpf

import (
	"cmp"
	"fmt"
	"os"
	"slices"

	"github.com/ipe-linux/ipe/internal/engine"
)

// Why a record is missing: enum lost of bpf/maps.h.
const (
	lostRoom  = uint32(0)
	lostShare = uint32(1)
	lostOwn   = uint32(2)
)

// takeReader tells the programs who reads the ring buffer, so that the records of a
// self-test find room in it whatever others provoke.
func (e *Engine) takeReader() error {
	if err := e.maps[mapReader].Put(slot, uint32(os.Getpid())); err != nil {
		return fmt.Errorf("name the reader of records: %w", err)
	}
	return nil
}

// readLosses counts the records that are missing.
func (e *Engine) readLosses(s *engine.State) error {
	for _, why := range []uint32{lostRoom, lostShare, lostOwn} {
		var n uint64
		if err := e.maps[mapLost].Lookup(why, &n); err != nil {
			return err
		}
		s.Lost += n
		if why == lostShare {
			s.OverShare = n
		}
	}
	s.Lost += e.events.dropped.Load()
	var err error
	s.Users, err = e.overShare()
	return err
}

// overShare tells whose records were over the share, the most first.
func (e *Engine) overShare() ([]engine.UserCount, error) {
	users := []engine.UserCount{}
	var uid uint32
	var share ipeShare
	all := e.maps[mapShares].Iterate()
	for all.Next(&uid, &share) {
		if share.Over > 0 {
			users = append(users, engine.UserCount{UID: uid, Count: share.Over})
		}
	}
	slices.SortFunc(users, func(a, b engine.UserCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.UID, b.UID))
	})
	return users, all.Err()
}

// ownLost counts the records of this process that found no room, or that cannot be
// asked for: then there is nothing to wait for either.
func (e *Engine) ownLost() uint64 {
	var n uint64
	if err := e.maps[mapLost].Lookup(lostOwn, &n); err != nil {
		return ^uint64(0)
	}
	return n
}
