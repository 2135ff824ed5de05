package trail

import (
	"cmp"
	"slices"
	"time"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/engine"
)

const (
	// shareBurst and sharePerSecond are how many records of one user are passed on at
	// once, and in the long run: five files of 8 MiB then last for more than half an
	// hour, whatever one user does. Equal ones are merged before they count.
	shareBurst     = 2048
	sharePerSecond = 64
	// shareUsers bounds the users that are told apart. All others have one share.
	shareUsers = 1024
	// shownUsers is how many of those who are over their share are shown.
	shownUsers = 16
	// unknownUser is the kernel's number for no user, which no process has.
	unknownUser = audit.Unset
)

// shares says who may have how many records.
type shares struct {
	users map[uint32]*bucket
	// others is the share of those that are not told apart.
	others bucket
}

// bucket is what a user may still have.
type bucket struct {
	used float64
	at   time.Time
	over uint64
}

// take reports whether uid may have one more record; if not, it counts n.
func (s *shares) take(uid uint32, now time.Time, n uint64) bool {
	b := s.bucket(uid, now)
	b.drain(now)
	if b.used+1 <= shareBurst {
		b.used++
		return true
	}
	b.over += n
	return false
}

func (b *bucket) drain(now time.Time) {
	b.used = max(0, b.used-now.Sub(b.at).Seconds()*sharePerSecond)
	b.at = now
}

func (s *shares) bucket(uid uint32, now time.Time) *bucket {
	if b := s.users[uid]; b != nil {
		return b
	}
	if len(s.users) >= shareUsers {
		s.forget(now)
	}
	if len(s.users) >= shareUsers {
		return &s.others
	}
	if s.users == nil {
		s.users = map[uint32]*bucket{}
	}
	b := &bucket{at: now}
	s.users[uid] = b
	return b
}

// forget drops those who have their whole share again, and how much too much they had.
func (s *shares) forget(now time.Time) {
	for uid, b := range s.users {
		if b.drain(now); b.used == 0 {
			delete(s.users, uid)
		}
	}
}

// overBy returns who had too much, here and in the engine, the most first.
func (s *shares) overBy(inEngine []engine.UserCount) []engine.UserCount {
	sum := map[uint32]uint64{}
	for _, u := range inEngine {
		sum[u.UID] += u.Count
	}
	for uid, b := range s.users {
		sum[uid] += b.over
	}
	sum[unknownUser] += s.others.over
	all := []engine.UserCount{}
	for uid, n := range sum {
		if n > 0 {
			all = append(all, engine.UserCount{UID: uid, Count: n})
		}
	}
	slices.SortFunc(all, func(a, b engine.UserCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.UID, b.UID))
	})
	return all[:min(len(all), shownUsers)]
}
