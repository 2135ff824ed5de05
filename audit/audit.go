// Package audit is the records of Linux IPE, as values, as the kernel's text and
// as JSON:
//
//	1404 MAC_STATUS         enforcement was switched         [Status]
//	1420 IPE_ACCESS         a decision                       [Access]
//	1421 IPE_CONFIG_CHANGE  another policy became active     [ConfigChange]
//	1422 IPE_POLICY_LOAD    a policy was loaded, or was not  [PolicyLoad]
//
// [Parse] reads a line of the kernel log, of auditd's log, or the text of a record
// alone. A record's String is that text in its newest form, byte for byte; the
// older forms are those of a [Generation].
//
// Records are quoted in three ways, which a reader that looks for the next quote
// gets wrong. Names of files and processes, and the algorithms of digests, are
// untrusted strings ([AppendUntrusted]): in quotes, or in hex if they hold a
// blank, a quote or a byte that is not printable ASCII. The text of a rule stands
// in quotes and holds untrusted strings, with quotes of their own. Names of
// policies stand raw between quotes, whatever bytes they have; they are told apart
// all the same, because the language lets no blank into a name.
//
// Whoever reads a log should know that text can be forged by those who may write
// to it, and that the kernel log cuts a line after about a thousand bytes: a
// record that was cut is [ErrTruncated].
//
// The texts are those of the kernel's security/ipe/audit.c.
//
// Stability: this is version 0. What Parse reads today it will read, and later generations of
// records are added. The JSON has its version in it, [JSONVersion], which another meaning of a
// field raises and a further field does not. Names of this package may still change.
package audit

import (
	"fmt"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/policy"
)

// Type is the number of a kind of record, as in linux/audit.h.
type Type uint16

// The types. Other security modules use TypeStatus as well.
const (
	TypeStatus       Type = 1404
	TypeAccess       Type = 1420
	TypeConfigChange Type = 1421
	TypePolicyLoad   Type = 1422
)

// String returns the name that auditd gives to the type, or UNKNOWN[number].
func (t Type) String() string {
	for _, k := range kinds {
		if k.typ == t {
			return k.name
		}
	}
	return fmt.Sprintf("UNKNOWN[%d]", uint16(t))
}

// kinds are the types with their names and with the keys that their texts begin with.
var kinds = [...]struct {
	typ   Type
	name  string
	begin string
}{
	{TypeStatus, "MAC_STATUS", "enforcing="},
	{TypeAccess, "IPE_ACCESS", "ipe_op="},
	{TypeConfigChange, "IPE_CONFIG_CHANGE", oldKeys.name},
	{TypePolicyLoad, "IPE_POLICY_LOAD", loadKeys.name},
}

// Record is an Access, a ConfigChange, a PolicyLoad, a Status or an EmptyStatus.
type Record interface {
	// Type returns the number of the record's kind.
	Type() Type
	// String returns what stands behind "audit(…): " in the newest generation.
	String() string

	append(dst []byte, g Generation) []byte
}

// Access is a decision, type 1420.
type Access struct {
	// Op is what was asked for; OpUnknown if the kernel knew no name for it.
	Op   policy.Op
	Hook eval.Hook
	// Enforcing: a DENY had effect. A permissive kernel records it all the same.
	Enforcing bool
	// PID is the thread group's id in the initial namespace.
	PID uint32
	// Comm is the task's name, at most 15 bytes of any value.
	Comm string
	// File is nil for anonymous memory and for data from user space.
	File *File
	// Rule is the statement that decided. Its Action is what was decided.
	Rule Statement
}

// File says which file an Access is about.
type File struct {
	// Path is as the task's root sees it, any bytes; TooLong or NoMemory if the
	// kernel could not tell.
	Path string
	// Dev is the superblock's id, such as "dm-0" or "tmpfs", and Ino the inode's
	// number there, unless NoInode is set.
	Dev     string
	Ino     uint64
	NoInode bool
}

// What a kernel writes for a path that it could not make out.
const (
	TooLong  = "<too_long>"
	NoMemory = "<no_memory>"
)

// ConfigChange is the activation of another policy, or an update of the active
// one, type 1421.
type ConfigChange struct {
	// Old is nil if no policy was active before.
	Old *PolicyID
	// New is never nil in a record to be written. Before Linux 6.17 a kernel that
	// could not hash left both policies out; they then read as nil.
	New     *PolicyID
	Subject Subject
}

// PolicyLoad is a new or updated policy, or from Linux 6.16 on the failure to load
// one, type 1422.
type PolicyLoad struct {
	// Policy is nil for a failure, even if the name was known. Before Linux 6.17 a
	// kernel that could not hash left it out; it then reads as nil.
	Policy  *PolicyID
	Subject Subject
	// Errno is 0 for success, else the number that the writer of the policy got,
	// positive as in errno(3). It reads as 0 where the kernel wrote none.
	Errno uint16
}

// Status is a change of enforcement, type 1404. A kernel follows it with an
// EmptyStatus.
type Status struct {
	Enforcing, OldEnforcing bool
	Subject                 Subject
}

// EmptyStatus is the second record of type 1404 that a kernel writes for a change of
// enforcement, without text. Its serial is the one before that of the Status, or the
// same where system calls are audited. Parse does not return it: other security
// modules could write the same.
type EmptyStatus struct{}

// PolicyID is what records say of a policy.
type PolicyID struct {
	// Name is the policy's, byte for byte. A name that the language cannot express,
	// because of a blank in it, prints as a record that does not read back.
	Name    string
	Version policy.Version
	// Digest is the SHA-256 of the whole signed message; of nothing for a policy
	// compiled into the kernel.
	Digest [32]byte
}

// Subject is who changed something.
type Subject struct {
	// AUID is the login's user and Session its number; Unset without a login.
	AUID, Session uint32
}

// Unset is the value of both fields of a Subject without a login.
const Unset = ^uint32(0)

// Nobody is the Subject without a login.
func Nobody() Subject { return Subject{AUID: Unset, Session: Unset} }

// Type returns TypeAccess.
func (Access) Type() Type { return TypeAccess }

// Type returns TypeConfigChange.
func (ConfigChange) Type() Type { return TypeConfigChange }

// Type returns TypePolicyLoad.
func (PolicyLoad) Type() Type { return TypePolicyLoad }

// Type returns TypeStatus.
func (Status) Type() Type { return TypeStatus }

// Type returns TypeStatus.
func (EmptyStatus) Type() Type { return TypeStatus }
