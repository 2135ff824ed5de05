//go:build guest

package fs_test

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/sign"
)

func testRaces(t *testing.T, dir string) {
	noPoll(t, filepath.Join(dir, "enforce"))
	r := &racer{caller: caller{t, dir}, owner: owner(t)}
	t.Run("load", r.load)
	t.Run("update and read", r.update)
	t.Run("delete and activate", r.duel)
}

// signer signs as the owner.
type signer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func owner(t *testing.T) signer {
	t.Helper()
	read := func(name string) []byte {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		return block.Bytes
	}
	cert, err := x509.ParseCertificate(read("/keys/owner.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(read("/keys/owner.key"))
	if err != nil {
		t.Fatal(err)
	}
	return signer{cert, key.(crypto.Signer)}
}

type racer struct {
	caller
	owner signer
}

// message is a policy that allows everything.
func (r *racer) message(name, version string) []byte {
	r.Helper()
	m, err := sign.Content(fmt.Appendf(nil, "policy_name=%s policy_version=%s\nDEFAULT action=ALLOW\n", name, version), r.owner.cert, r.owner.key, sign.Options{})
	if err != nil {
		r.Fatal(err)
	}
	return m
}

func (r *racer) write(name string, data []byte) unix.Errno {
	fd, err := unix.Open(filepath.Join(r.dir, name), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
		var n int
		if n, err = unix.Write(fd, data); err == nil && n != len(data) {
			r.Errorf("%d of %d bytes are taken by %s", n, len(data), name)
		}
	}
	return errnoOf(err)
}

// load: of many that load one name, one succeeds.
func (r *racer) load(t *testing.T) {
	const writers = 8
	message := r.message("race", "1.0.0")
	results := make(chan unix.Errno, writers)
	for range writers {
		go func() { results <- r.write("new_policy", message) }()
	}
	count := map[unix.Errno]int{}
	for range writers {
		count[<-results]++
	}
	if diff := cmp.Diff(map[unix.Errno]int{0: 1, unix.EEXIST: writers - 1}, count); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

// update: who reads meanwhile sees one policy or the next, whole.
func (r *racer) update(t *testing.T) {
	const updates = 30
	var messages [][]byte
	for i := range updates {
		messages = append(messages, r.message("race", fmt.Sprintf("1.%d.0", i+1)))
	}
	whole := regexp.MustCompile(`^policy_name=race policy_version=1\.\d+\.0\nDEFAULT action=ALLOW\n$`)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for _, name := range []string{"policy", "pkcs7"} {
		readers.Go(func() {
			for n := 0; ; n++ {
				text, err := readOnce(filepath.Join(r.dir, "policies/race", name))
				if name == "pkcs7" && err == nil {
					var e *sign.Envelope
					e, err = sign.Verify([]byte(text), sign.NewKeyring(r.owner.cert))
					if err == nil {
						text = string(e.Content)
					}
				}
				if err != nil || !whole.MatchString(text) {
					t.Errorf("%s: %q, %v", name, text, err)
				}
				select {
				case <-done:
					t.Logf("%s was read %d times", name, n+1)
					return
				default:
				}
			}
		})
	}
	for _, m := range messages {
		if errno := r.write("policies/race/update", m); errno != 0 {
			t.Errorf("update: %v", errno)
		}
	}
	close(done)
	readers.Wait()
	if text, err := readOnce(filepath.Join(r.dir, "policies/race/version")); err != nil || text != fmt.Sprintf("1.%d.0", updates) {
		t.Errorf("version %q, %v", text, err)
	}
}

// duel: of deletion and activation one comes first, and the other is told.
func (r *racer) duel(t *testing.T) {
	const rounds = 20
	before := ""
	count := map[string]int{}
	for i := range rounds {
		name := fmt.Sprintf("duel%d", i)
		dir := "policies/" + name
		if errno := r.write("new_policy", r.message(name, fmt.Sprintf("60000.%d.0", i))); errno != 0 {
			t.Fatalf("load: %v", errno)
		}
		removed := make(chan unix.Errno)
		go func() { removed <- r.write(dir+"/delete", []byte("1")) }()
		activated, deleted := r.write(dir+"/active", []byte("1")), <-removed
		switch {
		case activated == 0 && deleted == unix.EPERM:
			count["activated"]++
			if before != "" {
				if errno := r.write(before+"/delete", []byte("1")); errno != 0 {
					t.Errorf("delete the one before: %v", errno)
				}
			}
			before = dir
		case activated == unix.ENOENT && deleted == 0:
			count["deleted"]++
		default:
			t.Errorf("activate: %v, delete: %v", activated, deleted)
		}
	}
	t.Logf("outcomes %v", count)
}
