//go:build linux

// Package scenarios is the one list of scenarios that everything which enforces
// must answer alike: the kernel's own IPE and ours, on whatever kernel.
//
// It runs in a test guest, by program probe. It knows what is below it only as a
// control tree, which is a directory, and as a source of audit records; all else are
// ordinary system calls on files of every kind. What comes out is a transcript: a
// line for each observation, with what a process got, an errno or "ok", and the
// records that the audit subsystem, or iped in its place, wrote about it. Process
// ids are replaced by whose they are, inode numbers and digests of signed messages
// by what they were compared with. So two transcripts that were made with one seed
// are equal line by line, or there is a difference between two implementations.
//
// Each decision of a walk is made by a thread that bears a name of its own, by which
// its record is found: the kernel's records have no other place for it. Records are
// waited for by provoking one more: every policy denies a file that nothing else
// uses, so when the denial of that is recorded, all before it are.
package scenarios

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/scenarios/records"
	"github.com/ipe-linux/ipe/internal/lab/scenarios/transcript"
	"github.com/ipe-linux/ipe/sign"
)

// Config is what differs from one guest to another, and what they have in common.
type Config struct {
	// Tree is the directory of the control tree.
	Tree string
	// Records is records.Netlink, or the path of a file in auditd's format.
	Records string
	// Daemon is the command that serves the tree; none for the kernel's own.
	Daemon []string
	// Roots are the root hashes of the volumes by name.
	Roots map[string]string
	// Out is where the transcript goes.
	Out string
	// Seed is the random walk's, and the walk that many Policies beginning with First.
	Seed            uint64
	First, Policies int
}

// SetupPath is where the guest finds its Config, as JSON.
const SetupPath = "/images/setup.json"

// Session is a run of the scenarios in one guest.
type Session struct {
	cfg      Config
	out      *transcript.Writer
	source   records.Source
	signer   signer
	subjects []*subject
	marker   *subject
	daemon   *daemon
	// scenario is the first field of the lines that are written.
	scenario string
	// active: a policy is active, and denies the marker.
	active bool
	// serial counts markers, revision the versions of the policy that is switched.
	serial   int
	revision int
	// digests are those of the fs-verity files, by name.
	digests map[string]string
	// masks replaces what depends on the machine in records.
	masks *records.Masks
}

// signer signs policies with the key that the guest's kernel trusts.
type signer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (s signer) sign(text string) ([]byte, error) {
	return sign.Content([]byte(text), s.cert, s.key, sign.Options{})
}

func readSigner(cert, key string) (signer, error) {
	pem, err := os.ReadFile(cert)
	if err != nil {
		return signer{}, fmt.Errorf("read signer: %w", err)
	}
	certs, err := sign.ParseCertificates(pem)
	if err != nil {
		return signer{}, fmt.Errorf("read signer: %w", err)
	}
	if pem, err = os.ReadFile(key); err != nil {
		return signer{}, fmt.Errorf("read signer: %w", err)
	}
	k, err := sign.ParseKey(pem, nil)
	if err != nil {
		return signer{}, fmt.Errorf("read signer: %w", err)
	}
	return signer{cert: certs[0], key: k}, nil
}

// Run runs every scenario and writes the transcript. An error is the run's own: what
// an implementation does wrong is a line like any other.
func Run(cfg Config) (err error) {
	// Names, personalities, roots and capabilities are the thread's own.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare root: %w", err)
	}
	s := &Session{cfg: cfg, masks: records.NewMasks()}
	if s.signer, err = readSigner("/images/platform.pem", "/images/platform.key"); err != nil {
		return err
	}
	if s.out, err = transcript.Create(cfg.Out); err != nil {
		return err
	}
	defer func() {
		if err != nil { // as far as it came
			err = errors.Join(err, s.out.Flush())
		}
	}()
	if err := s.start(); err != nil {
		return err
	}
	if err := s.stage(); err != nil {
		return err
	}
	w, err := s.newWalker()
	if err != nil {
		return err
	}
	begin := time.Now()
	for _, sc := range scenarios() {
		s.scenario = sc.name
		if err := sc.run(s); err != nil {
			return fmt.Errorf("scenario %s: %w", sc.name, err)
		}
	}
	fmt.Printf("scenarios: %v\n", time.Since(begin).Round(time.Millisecond))
	begin = time.Now()
	if err := s.walk(w); err != nil {
		return err
	}
	fmt.Printf("walk: %v\n", time.Since(begin).Round(time.Millisecond))
	return errors.Join(s.out.Close(), s.stop())
}

// scenario is one part of the list.
type scenario struct {
	name string
	run  func(*Session) error
}

// write is one write of data to a node of the control tree.
func (s *Session) write(node string, data []byte) error {
	fd, err := unix.Open(filepath.Join(s.cfg.Tree, node), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if n, err := unix.Write(fd, data); err != nil {
		return err
	} else if n != len(data) {
		return fmt.Errorf("write %s: short", node)
	}
	return nil
}

// read is the content of a node.
func (s *Session) read(node string) (string, error) {
	fd, err := unix.Open(filepath.Join(s.cfg.Tree, node), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	buf := make([]byte, 64<<10)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// result is how a transcript names what came of a system call.
func result(err error) string {
	var errno unix.Errno
	switch {
	case err == nil:
		return "ok"
	case !errors.As(err, &errno):
		return err.Error()
	case errno == 0:
		return "ok"
	}
	return unix.ErrnoName(errno)
}
