//go:build guest

package keyring_test

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/internal/linux/keyring"
	"github.com/ipe-linux/ipe/policy"
)

const ipe = "/sys/kernel/security/ipe"

// question is one row of the index.
type question struct{ Name, File, Want string }

func open(t *testing.T) *keyring.Kernel {
	t.Helper()
	k, err := keyring.Open()
	if err != nil {
		var refused interface{ Unwrap() error }
		if errors.As(err, &refused) {
			t.Logf("%+v", refused.Unwrap())
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// TestKernelAnswers: our answer is that of the kernel's IPE, where there is one, and
// the one that the list has.
func TestKernelAnswers(t *testing.T) {
	k := open(t)
	index, err := os.ReadFile("/messages/index")
	if err != nil {
		t.Fatal(err)
	}
	var questions []question
	if err := json.Unmarshal(index, &questions); err != nil {
		t.Fatal(err)
	}
	for _, q := range questions {
		t.Run(q.Name, func(t *testing.T) {
			message, err := os.ReadFile(q.File)
			if err != nil {
				t.Fatal(err)
			}
			ours, why := load(k, message)
			t.Logf("%s: %v", ours, why)
			if _, err := os.Stat(ipe); err == nil {
				if theirs := newPolicy(t, message); theirs != ours {
					t.Errorf("the kernel's IPE says %s, we say %s (%v)", theirs, ours, why)
				}
			}
			if !slices.Contains(strings.Fields(q.Want), ours) {
				t.Errorf("%s, want %s: %v", ours, q.Want, why)
			}
		})
	}
	t.Logf("%d messages", len(questions))
}

// load names the errno that a message has with us.
func load(k *keyring.Kernel, message []byte) (symbol string, err error) {
	e, _, err := k.Verify(message)
	if err == nil {
		_, err = policy.Parse(e.Content)
	}
	if err == nil {
		return "OK", nil
	}
	return errno.Symbol(err), err
}

// newPolicy names the errno that it has with the kernel's IPE.
func newPolicy(t *testing.T, message []byte) string {
	t.Helper()
	fd, err := unix.Open(ipe+"/new_policy", unix.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	n, err := unix.Write(fd, message)
	if err == nil && n != len(message) {
		t.Errorf("%d of %d bytes are taken", n, len(message))
	}
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return unix.ErrnoName(errno)
	}
	if err := os.WriteFile(ipe+"/policies/p/delete", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	return "OK"
}

// TestKernelAnswersMany: questions that come at once are not mixed up.
func TestKernelAnswersMany(t *testing.T) {
	k := open(t)
	good, err := os.ReadFile("/messages/0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			message, want := good, "OK"
			if i%2 == 1 {
				message, want = good[:100], "EBADMSG"
			}
			for range 10 {
				if got, err := load(k, message); got != want {
					t.Errorf("%s, %v; want %s", got, err, want)
				}
			}
		})
	}
	group.Wait()
}

func TestRefusedByLSMList(t *testing.T) {
	_, err := keyring.Open()
	var unsupported *abi.UnsupportedError
	if !errors.As(err, &unsupported) || unsupported.Hint() != "add this to the kernel command line and reboot: lsm=lockdown,capability,yama,bpf" {
		t.Errorf("%v, want a refusal with the line to add", err)
	}
}
