// Package fairqueue is a queue with bounds that several share who do not trust each
// other. When it is full, whoever has the most in it loses the oldest of that: a
// member that puts in without end displaces nothing but its own. What must not be
// displaced by any of them has a place of its own.
package fairqueue

import "container/list"

// Queue holds values in the order in which they were put. It is not safe for
// concurrent use.
type Queue[T any] struct {
	room, reserve int
	// order has all items, the oldest first; members and reserved have the elements of
	// order in the same order, so that the oldest of a member is found at once.
	order    *list.List
	members  map[uint32]*list.List
	shared   int
	reserved *list.List
}

type item[T any] struct {
	value    T
	member   uint32
	reserved bool
}

// New returns a queue with room for so many values of members, and so many that are
// reserved.
func New[T any](room, reserve int) *Queue[T] {
	return &Queue[T]{room: room, reserve: reserve, order: list.New(), members: map[uint32]*list.List{}, reserved: list.New()}
}

// Put adds a value of a member. If there was no room, it returns what was displaced.
func (q *Queue[T]) Put(member uint32, v T) (displaced T, full bool) {
	own := q.members[member]
	if own == nil {
		own = list.New()
		q.members[member] = own
	}
	own.PushBack(q.order.PushBack(&item[T]{value: v, member: member}))
	q.shared++
	if q.shared <= q.room {
		return displaced, false
	}
	return q.remove(q.longest(member).Front().Value.(*list.Element)), true
}

// PutReserved adds a value that no member displaces, only later ones of its kind.
func (q *Queue[T]) PutReserved(v T) (displaced T, full bool) {
	q.reserved.PushBack(q.order.PushBack(&item[T]{value: v, reserved: true}))
	if q.reserved.Len() <= q.reserve {
		return displaced, false
	}
	return q.remove(q.reserved.Front().Value.(*list.Element)), true
}

// longest is the list of whoever has the most; of several, of the one who puts.
func (q *Queue[T]) longest(putting uint32) *list.List {
	most := q.members[putting]
	for _, l := range q.members {
		if l.Len() > most.Len() {
			most = l
		}
	}
	return most
}

// Take removes the oldest value; false if there is none.
func (q *Queue[T]) Take() (v T, ok bool) {
	oldest := q.order.Front()
	if oldest == nil {
		return v, false
	}
	return q.remove(oldest), true
}

// remove takes away an element of order that is the oldest of its member.
func (q *Queue[T]) remove(e *list.Element) T {
	it := q.order.Remove(e).(*item[T])
	if it.reserved {
		q.reserved.Remove(q.reserved.Front())
		return it.value
	}
	own := q.members[it.member]
	own.Remove(own.Front())
	q.shared--
	if own.Len() == 0 {
		delete(q.members, it.member)
	}
	return it.value
}

// Len is the number of values.
func (q *Queue[T]) Len() int { return q.order.Len() }

// All returns the values, the oldest first, and leaves them there.
func (q *Queue[T]) All() []T {
	all := make([]T, 0, q.order.Len())
	for e := q.order.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value.(*item[T]).value)
	}
	return all
}
