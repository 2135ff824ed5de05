//go:build guest

package bpf_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/lab/await"
)

// stormEnv makes this program provoke so many denials instead of running tests.
const stormEnv = "IPE_STORM_DENIALS"

// storm is the program that stormEnv asks for.
func storm(count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	for range n {
		if err := mapAnonymous(); !errors.Is(err, unix.EACCES) {
			return fmt.Errorf("memory: %w, want EACCES", err)
		}
	}
	return nil
}

// startStorm has a user provoke denials.
func startStorm(t *testing.T, uid uint32, denials int) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", stormEnv, denials))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// byUser counts the records of each user.
type byUser struct {
	mu  sync.Mutex
	all map[uint32]uint64
}

func (b *byUser) note(ev engine.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all[ev.UID]++
}

func (b *byUser) of(uid uint32) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all[uid]
}

// TestEngineShares: two processes of one user provoke denials as fast as they can. They
// get that user's share of the records, others and the self-test lose none of theirs,
// and each denial is either received or counted.
func TestEngineShares(t *testing.T) {
	const stormer, other, denials, few = 1000, 1001, 10_000, 100
	e := open(t)
	a := activate(t, e, enforcing, "DEFAULT action=DENY")
	got := byUser{all: map[uint32]uint64{}}
	go e.Events(t.Context(), got.note)
	var storms []*exec.Cmd
	for range 2 {
		storms = append(storms, startStorm(t, stormer, denials))
	}
	quiet := startStorm(t, other, few)
	var ended atomic.Bool
	ends := make(chan error, 1)
	go func() {
		err := errors.Join(storms[0].Wait(), storms[1].Wait(), quiet.Wait())
		ended.Store(true)
		ends <- err
	}()
	tests := 0
	for ; tests == 0 || !ended.Load(); tests++ {
		if st, err := e.SelfTest(a); err != nil || !st.DenialSeen {
			t.Errorf("self-test during the storm: %+v, %v", st, err)
		}
	}
	if err := <-ends; err != nil {
		t.Fatal(err)
	}
	var s engine.State
	await.Until(func() bool {
		var err error
		if s, err = e.State(); err != nil {
			t.Fatal(err)
		}
		return got.of(stormer)+s.Lost == 2*denials && got.of(other) == few
	})
	t.Logf("%d self-tests; of %d denials %d received, %d lost, of which %d over the share; by user %+v",
		tests, 2*denials, got.of(stormer), s.Lost, s.OverShare, s.Users)
	if n := got.of(stormer) + s.Lost; n != 2*denials {
		t.Errorf("%d denials received or counted, want %d", n, 2*denials)
	}
	if n := got.of(other); n != few {
		t.Errorf("another user's: %d received, want %d", n, few)
	}
	if s.OverShare == 0 || len(s.Users) != 1 || s.Users[0] != (engine.UserCount{UID: stormer, Count: s.OverShare}) {
		t.Errorf("over the share: %d, by user %+v", s.OverShare, s.Users)
	}
}
