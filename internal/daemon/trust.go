package daemon

import (
	"crypto/x509"
	"fmt"
	"sync"

	"github.com/ipe-linux/ipe/internal/linux/keyring"
	"github.com/ipe-linux/ipe/internal/trust"
	"github.com/ipe-linux/ipe/sign"
)

// trustKernel, as a value of --trust, means the kernel's own keyrings. A file of that
// name is ./kernel.
const trustKernel = "kernel"

// problemTrust is the key of problems with the paths of --trust.
const problemTrust = "certificates"

// trusted is whom the command line trusts. Its certificates are read at start and at
// each reload, and whoever asks meanwhile waits for the new ones.
type trusted struct {
	kernel bool
	// paths are the values of --trust, without the kernel's keyrings.
	paths []string

	mu sync.RWMutex
	// of has the certificates of each path.
	of   map[string][]*x509.Certificate
	ring *sign.Keyring

	opening sync.Mutex
	// opened are the kernel's keyrings, once they could be opened.
	opened *keyring.Kernel
}

// newTrusted trusts nobody yet: see read.
func newTrusted(values []string) *trusted {
	t := &trusted{of: map[string][]*x509.Certificate{}, ring: sign.NewKeyring()}
	for _, v := range values {
		if v == trustKernel {
			t.kernel = true
		} else {
			t.paths = append(t.paths, v)
		}
	}
	return t
}

// read reads the certificates. Nothing needs the kernel for it. What cannot be read, or
// can be changed by others than root, does not count: the other certificates may be
// enough for the policy that is to be active. But a whole path that could be read
// before, and cannot now, is a failure, and keeps what it had: who wants to withdraw
// trust takes a file out of a directory, and says nothing of it by breaking a path.
func (t *trusted) read() (skipped, failed []error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*x509.Certificate
	for _, path := range t.paths {
		ring, strays, err := trust.ReadOwn(path)
		switch n := len(t.of[path]); {
		case err == nil:
			t.of[path] = ring.Certificates()
			skipped = append(skipped, strays...)
		case n > 0:
			failed = append(failed, fmt.Errorf("%w: the certificates that it had before, %d, still count", err, n))
		default:
			failed = append(failed, err)
		}
		all = append(all, t.of[path]...)
	}
	t.ring = sign.NewKeyring(all...)
	return skipped, failed
}

// now is the keyring of those who are trusted now.
func (t *trusted) now() *sign.Keyring {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.ring
}

// named are the certificates that alone may sign; none if the kernel's keys may, too.
func (t *trusted) named() *sign.Keyring {
	if t.kernel {
		return nil
	}
	return t.now()
}

// readTrust reads the certificates, and shows what is wrong with them.
func (d *daemon) readTrust() (failed error) {
	skipped, wrong := d.trust.read()
	d.c.SetProblem(problemTrust, oneLine(append(wrong, skipped...)))
	return oneLine(wrong)
}
