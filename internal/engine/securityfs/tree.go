package securityfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/plain"
)

// Nodes of the control tree.
const (
	nodeNewPolicy    = "new_policy"
	nodeEnforce      = "enforce"
	nodeSuccessAudit = "success_audit"
	nodePolicies     = "policies"
	nodeActive       = "active"
	nodeUpdate       = "update"
	nodeDelete       = "delete"
	nodeVersion      = "version"
	nodeMessage      = "pkcs7"
	nodeText         = "policy"
)

// tree is the kernel's control tree.
type tree struct{ dir string }

func (t tree) path(node ...string) string {
	return filepath.Join(append([]string{t.dir}, node...)...)
}

// policyNode is the path of a node of one policy. A name that is no file name has
// none: the kernel could not make a directory of it either.
func (t tree) policyNode(name, node string) string { return t.path(nodePolicies, name, node) }

// write hands data over in the one write(2) that is a transaction.
func write(path string, data []byte) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &RefusedError{Node: path, Errno: errnoOf(err)}
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, data); err != nil {
		return &RefusedError{Node: path, Errno: errnoOf(err)}
	}
	return nil
}

func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return unix.EIO
}

func writeBool(path string, on bool) error {
	if on {
		return write(path, []byte("1"))
	}
	return write(path, []byte("0"))
}

func readBool(path string) (bool, error) {
	b, err := os.ReadFile(path)
	return string(bytes.TrimSpace(b)) == "1", err
}

// names lists the policies.
func (t tree) names() ([]string, error) {
	entries, err := os.ReadDir(t.path(nodePolicies))
	if err != nil {
		return nil, fmt.Errorf("list policies: %w", err)
	}
	names := make([]string, 0, len(entries))
	for _, d := range entries {
		names = append(names, d.Name())
	}
	return names, nil
}

// readTries is how often a policy may be replaced while it is read.
const readTries = 10

// errRestless gives up on a policy that does not stay the same long enough.
var errRestless = errors.New("it is replaced again and again")

// held reads one policy whole: its nodes are files of their own, but another version
// or another directory betrays that it was replaced meanwhile. An error wraps
// os.ErrNotExist once it is gone, and while the kernel makes it.
func (t tree) held(name string) (engine.Held, error) {
	for range readTries {
		h, err := t.heading(name)
		if err == nil {
			h.Envelope, err = t.message(name)
		}
		if err == nil {
			h.Text, err = os.ReadFile(t.policyNode(name, nodeText))
		}
		if err == nil {
			h.Active, err = readBool(t.policyNode(name, nodeActive))
		}
		after, again := t.heading(name)
		if err = errors.Join(err, again); err != nil {
			return h, fmt.Errorf("policy %s: %w", plain.Name(name), err)
		}
		if after.Place == h.Place && after.Version == h.Version {
			return h, nil
		}
	}
	return engine.Held{}, fmt.Errorf("policy %s: %w", plain.Name(name), errRestless)
}

// heading reads what tells one policy of a name from another.
func (t tree) heading(name string) (engine.Held, error) {
	var st unix.Stat_t
	if err := unix.Stat(t.path(nodePolicies, name), &st); err != nil {
		return engine.Held{}, err
	}
	version, err := os.ReadFile(t.policyNode(name, nodeVersion))
	return engine.Held{Name: name, Place: st.Ino, Version: string(bytes.TrimSpace(version))}, err
}

// message reads the signed message. That of a policy compiled into the kernel is
// nil: its node can be opened, and reading it is ENOENT.
func (t tree) message(name string) ([]byte, error) {
	f, err := os.Open(t.policyNode(name, nodeMessage))
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", plain.Name(name), err)
	}
	defer f.Close()
	var b bytes.Buffer
	switch _, err := b.ReadFrom(f); {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("policy %s: %w", plain.Name(name), err)
	}
	return b.Bytes(), nil
}

// RefusedError is what the kernel said to a write.
type RefusedError struct {
	// Node is the file that was written to.
	Node  string
	Errno syscall.Errno
}

// Error names the node and the kernel's answer.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the kernel refused: %s: %v", e.Node, e.Errno)
}

// Unwrap returns the kernel's number.
func (e *RefusedError) Unwrap() error { return e.Errno }

// Hint says what to do about a refusal that has a usual remedy.
func (e *RefusedError) Hint() string {
	switch e.Errno {
	case unix.ENOKEY:
		return "the kernel trusts no key that signed this; only its own keyrings count: see keyctl show %:.secondary_trusted_keys " +
			"and keyctl show %:.platform; certificates of your own need iped " + hint.EngineBPF
	case unix.EKEYREJECTED:
		return "the signature is wrong, has signed attributes that the kernel does not take, or its key is blacklisted: sign again with " + hint.PolicySign
	case unix.ENOPKG:
		return "this kernel lacks an algorithm of the signature: sign with RSA and " + hint.SignatureHash + " sha256"
	case unix.EMSGSIZE:
		return "the kernel takes 65535 bytes at most, signature included: name volumes instead of their files"
	case unix.EBADMSG:
		return "this kernel's parser refuses it, maybe for an operation that it knows and this text has no default for: add a global DEFAULT"
	case unix.EINVAL:
		if filepath.Base(e.Node) == nodeActive {
			return "the active policy has a higher version, whatever its name: raise policy_version and sign again"
		}
	case unix.ESTALE:
		return "raise policy_version above the one in the kernel and sign again"
	case unix.EPERM:
		return "iped needs CAP_MAC_ADMIN in the initial user namespace"
	}
	return ""
}
