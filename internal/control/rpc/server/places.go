package server

import (
	"cmp"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/ipe-linux/ipe/internal/control/peer"
)

// Connections that are held at the same time. Those who may change something have places
// of their own, so that others cannot keep them out; together they are far below the
// 1024 descriptors that a process has where nobody raised it.
const (
	maxOwners   = 64
	maxGuests   = 32
	maxPerGuest = 8
)

// places are the connections of one kind of peers. A newcomer always gets one: where a
// user has too many, that user loses one, and where all are taken, the user with the most.
type places struct {
	max, each int

	mu   sync.Mutex
	held []*conn
	turn uint64
}

func newPlaces(all, each int) *places { return &places{max: all, each: each} }

// work is what a connection is used for, in the order of what is given up first.
type work int

const (
	idle work = iota
	streaming
	answering
)

// conn is a connection that knows its peer.
type conn struct {
	*net.UnixConn
	peer   peer.Peer
	places *places

	// Under the lock of places: work and when it began.
	work work
	turn uint64
}

// user is whose share a connection uses. A peer that the kernel does not name counts as
// root without rights.
func (c *conn) user() uint32 {
	if !c.peer.Known {
		return 0
	}
	return c.peer.UID
}

// Close ends the connection and makes room for another.
func (c *conn) Close() error {
	c.places.leave(c)
	return c.UnixConn.Close()
}

// enter gives c a place, and returns who loses one for it, if anybody does.
func (p *places) enter(c *conn) (leaves *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if crowd := p.crowd(c.user()); len(crowd) > 0 {
		leaves = slices.MinFunc(crowd, func(a, b *conn) int {
			return cmp.Or(cmp.Compare(a.work, b.work), cmp.Compare(a.turn, b.turn))
		})
		p.remove(leaves)
	}
	p.turn++
	c.turn = p.turn
	p.held = append(p.held, c)
	return leaves
}

// crowd are the connections of which one must end before user gets another.
func (p *places) crowd(user uint32) []*conn {
	count := map[uint32]int{}
	most := 0
	for _, c := range p.held {
		count[c.user()]++
		most = max(most, count[c.user()])
	}
	switch {
	case count[user] >= p.each:
		return p.those(func(c *conn) bool { return c.user() == user })
	case len(p.held) >= p.max:
		return p.those(func(c *conn) bool { return count[c.user()] == most })
	}
	return nil
}

func (p *places) those(which func(*conn) bool) (found []*conn) {
	for _, c := range p.held {
		if which(c) {
			found = append(found, c)
		}
	}
	return found
}

func (p *places) leave(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(c)
}

func (p *places) remove(c *conn) {
	p.held = slices.DeleteFunc(p.held, func(other *conn) bool { return other == c })
}

// use notes what the connection is used for from now on.
func (p *places) use(c *conn, w work) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn++
	c.work, c.turn = w, p.turn
}

// noted keeps the places up to date about what connections are used for.
func noted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		use(r, answering)
		defer use(r, idle)
		next.ServeHTTP(w, r)
	})
}

func use(r *http.Request, w work) {
	if c, ok := r.Context().Value(peerKey{}).(*conn); ok {
		c.places.use(c, w)
	}
}
