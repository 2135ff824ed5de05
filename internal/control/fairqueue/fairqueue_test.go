package fairqueue_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ipe-linux/ipe/internal/control/fairqueue"
)

type value struct {
	member uint32
	serial int
}

const reserved = ^uint32(0)

func put(q *fairqueue.Queue[value], v value) (value, bool) {
	if v.member == reserved {
		return q.PutReserved(v)
	}
	return q.Put(v.member, v)
}

// TestFloodDisplacesItsOwn: one member that puts in without end leaves the others, and
// what is reserved, all that they had.
func TestFloodDisplacesItsOwn(t *testing.T) {
	q := fairqueue.New[value](100, 3)
	serial := 0
	add := func(member uint32, n int) (lost []value) {
		for range n {
			serial++
			if v, full := put(q, value{member, serial}); full {
				lost = append(lost, v)
			}
		}
		return lost
	}
	if lost := slices.Concat(add(1, 10), add(2, 20), add(reserved, 3)); len(lost) > 0 {
		t.Fatalf("displaced with room: %v", lost)
	}
	for _, v := range add(3, 10_000) {
		if v.member != 3 {
			t.Fatalf("the flood displaced %+v", v)
		}
	}
	if lost := add(2, 1); len(lost) != 1 || lost[0].member != 3 {
		t.Errorf("displaced by another's: %v, want the flood's", lost)
	}
	if lost := add(reserved, 1); len(lost) != 1 || lost[0] != (value{reserved, 31}) {
		t.Errorf("displaced by the reserved: %v, want the oldest of them", lost)
	}
	count := map[uint32]int{}
	for _, v := range q.All() {
		count[v.member]++
	}
	if q.Len() != 103 || count[1] != 10 || count[2] != 21 || count[3] != 69 || count[reserved] != 3 {
		t.Errorf("%d in all, by member %v", q.Len(), count)
	}
}

// TestNothingVanishes puts and takes at random: each value is taken or displaced,
// once, and those that are taken are in order.
func TestNothingVanishes(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		room, reserve := 1+random.IntN(20), 1+random.IntN(5)
		q := fairqueue.New[value](room, reserve)
		seen := map[value]int{}
		last, n := 0, 0
		take := func() bool {
			v, ok := q.Take()
			if ok && v.serial <= last {
				t.Fatalf("seed %d: %d after %d", seed, v.serial, last)
			}
			if ok {
				last = v.serial
				seen[v]++
			}
			return ok
		}
		for n < 1000 {
			if random.IntN(3) == 0 {
				take()
				continue
			}
			n++
			v := value{uint32(random.IntN(4)), n}
			if random.IntN(10) == 0 {
				v.member = reserved
			}
			if out, full := put(q, v); full {
				seen[out]++
				if (v.member == reserved) != (out.member == reserved) {
					t.Fatalf("seed %d: %+v displaced %+v", seed, v, out)
				}
			}
			if q.Len() > room+reserve || len(q.All()) != q.Len() {
				t.Fatalf("seed %d: %d in it", seed, q.Len())
			}
		}
		for take() {
		}
		for v, times := range seen {
			if times != 1 {
				t.Errorf("seed %d: %+v %d times", seed, v, times)
			}
		}
		if len(seen) != n {
			t.Errorf("seed %d: %d of %d", seed, len(seen), n)
		}
	}
}
