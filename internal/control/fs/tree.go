package fs

import (
	"bytes"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/errno"
)

// file is what a node is. A missing function is EINVAL, as in the kernel.
type file struct {
	name  string
	mode  uint32
	read  func(*control.Control, control.Place) ([]byte, error)
	write func(control.Actor, control.Place, []byte) error
	// loads: what is written is a policy, and every refusal is recorded.
	loads bool
}

// Errors that only the tree has; all others are package control's.
var (
	errNotBoolean = errno.New(unix.EINVAL, "not a boolean value")
	errOnlyTrue   = errno.New(unix.EINVAL, "only a true value is accepted here")
	errUnsigned   = errno.New(unix.ENOENT, "this policy has no signed message")
)

// topFiles are in the root of the tree. Their functions get the zero Place.
func topFiles() []file {
	return []file{
		{name: "success_audit", mode: 0o600, read: readSuccessAudit, write: writeSuccessAudit},
		{name: "enforce", mode: 0o600, read: readEnforce, write: writeEnforce},
		{name: "new_policy", mode: 0o200, write: writeNewPolicy, loads: true},
	}
}

// policyFiles are in the directory of each policy.
func policyFiles() []file {
	return []file{
		{name: "pkcs7", mode: 0o444, read: readMessage},
		{name: "policy", mode: 0o444, read: readText},
		{name: "name", mode: 0o444, read: readName},
		{name: "version", mode: 0o444, read: readVersion},
		{name: "active", mode: 0o600, read: readActive, write: writeActive},
		{name: "update", mode: 0o200, write: writeUpdate, loads: true},
		{name: "delete", mode: 0o200, write: writeDelete},
	}
}

func digit(on bool) []byte {
	if on {
		return []byte("1")
	}
	return []byte("0")
}

func readSuccessAudit(c *control.Control, _ control.Place) ([]byte, error) {
	return digit(c.Mode().SuccessAudit), nil
}

func readEnforce(c *control.Control, _ control.Place) ([]byte, error) {
	return digit(c.Mode().Enforce), nil
}

func readMessage(_ *control.Control, p control.Place) ([]byte, error) {
	info, message, _, err := p.Get()
	if err == nil && info.Boot {
		err = errUnsigned
	}
	return message, err
}

func readText(_ *control.Control, p control.Place) ([]byte, error) {
	_, _, text, err := p.Get()
	return text, err
}

func readName(_ *control.Control, p control.Place) ([]byte, error) {
	info, err := p.Info()
	return []byte(info.Name), err
}

func readVersion(_ *control.Control, p control.Place) ([]byte, error) {
	info, err := p.Info()
	return []byte(info.Version), err
}

func readActive(_ *control.Control, p control.Place) ([]byte, error) {
	info, err := p.Info()
	return digit(info.Active), err
}

func writeSuccessAudit(c control.Actor, _ control.Place, data []byte) error {
	on, err := boolean(data)
	if err != nil {
		return err
	}
	return c.SetSuccessAudit(on)
}

func writeEnforce(c control.Actor, _ control.Place, data []byte) error {
	on, err := boolean(data)
	if err != nil {
		return err
	}
	return c.SetEnforce(on)
}

func writeActive(_ control.Actor, p control.Place, data []byte) error {
	if err := onlyTrue(data); err != nil {
		return err
	}
	return p.Activate()
}

func writeDelete(_ control.Actor, p control.Place, data []byte) error {
	if err := onlyTrue(data); err != nil {
		return err
	}
	return p.Delete()
}

// The message is kept, and data is the next request's soon.

func writeNewPolicy(c control.Actor, _ control.Place, data []byte) error {
	_, err := c.Load(bytes.Clone(data))
	return err
}

func writeUpdate(_ control.Actor, p control.Place, data []byte) error {
	_, err := p.Update(bytes.Clone(data))
	return err
}

func onlyTrue(data []byte) error {
	on, err := boolean(data)
	if err == nil && !on {
		err = errOnlyTrue
	}
	return err
}

// boolean reads a value as the kernel's kstrtobool does: by its first byte, or two
// if that is an o. Whatever follows means nothing.
func boolean(data []byte) (bool, error) {
	first, second := byteAt(data, 0), byteAt(data, 1)
	switch first {
	case 'y', 'Y', 't', 'T', '1':
		return true, nil
	case 'n', 'N', 'f', 'F', '0':
		return false, nil
	case 'o', 'O':
		switch second {
		case 'n', 'N':
			return true, nil
		case 'f', 'F':
			return false, nil
		}
	}
	return false, errNotBoolean
}

// byteAt is 0 past the end.
func byteAt(data []byte, i int) byte {
	if i < len(data) {
		return data[i]
	}
	return 0
}
