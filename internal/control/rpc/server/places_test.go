package server

import (
	"testing"

	"github.com/ipe-linux/ipe/internal/control/peer"
)

// guest is a connection of a user.
func guest(uid uint32) *conn {
	return &conn{peer: peer.Peer{UID: uid, Known: true, Lack: peer.ErrNotRoot}}
}

// TestWhoLeaves: the user with the most loses a connection, an idle one before one that
// streams, that before one that is being answered, and the longest unused of those.
func TestWhoLeaves(t *testing.T) {
	p := newPlaces(6, 4)
	rich, poor := make([]*conn, 4), make([]*conn, 2)
	for i := range rich {
		rich[i] = guest(1)
		if p.enter(rich[i]) != nil {
			t.Fatal("somebody leaves while there is room")
		}
	}
	for i := range poor {
		poor[i] = guest(2)
		if p.enter(poor[i]) != nil {
			t.Fatal("somebody leaves while there is room")
		}
	}
	p.use(rich[0], answering)
	p.use(rich[1], streaming)
	p.use(rich[2], answering)
	p.use(rich[2], idle)
	fourth := rich[3]
	for i, step := range []struct {
		comes, leaves *conn
		why           string
	}{
		{guest(3), fourth, "idle for longest, of the user with the most"},
		{guest(1), rich[2], "1 has 3 of 6, and this one is idle"},
		{guest(4), nil, "the next of user 1"},
	} {
		got := p.enter(step.comes)
		if step.leaves == nil {
			if got == nil || got.user() != 1 || got == rich[0] || got == rich[1] {
				t.Errorf("step %d: %v leaves, want an idle one of user 1", i, got)
			}
			continue
		}
		if got != step.leaves {
			t.Errorf("step %d: the wrong one leaves: %s", i, step.why)
		}
	}
	if len(p.held) != 6 {
		t.Errorf("%d places are taken, want 6", len(p.held))
	}
}

// TestNobodyIsRootWithoutRights: a peer that the kernel does not name shares the places
// of root without rights, which are not those of root.
func TestNobodyIsRootWithoutRights(t *testing.T) {
	p := newPlaces(maxGuests, 1)
	first := &conn{peer: peer.Peer{Known: true, Lack: peer.ErrNoCapability}}
	if p.enter(first) != nil || p.enter(&conn{peer: peer.Nobody()}) != first {
		t.Error("they have two places, want one")
	}
}
