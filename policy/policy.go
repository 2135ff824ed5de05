// Package policy is the language of Linux IPE: a header line that names and
// versions the policy, and one statement a line.
//
//	policy_name=appliance policy_version=1.0.0
//	DEFAULT action=DENY
//	op=EXECUTE dmverity_signature=TRUE action=ALLOW
//
// [Parse] accepts and refuses exactly what the kernel's parser
// (security/ipe/policy_parser.c) does, and tells the same classes of failure
// apart: ErrSyntax, ErrValue and ErrRange stand for EBADMSG, EINVAL and ERANGE.
// Every refusal is a [SyntaxError] with line, column and token.
//
// A [Policy] is what a text means, without comments and blanks. Package policy/syntax has
// the text itself, with all mistakes and their ranges, and formats it. Package policy/lint
// says what is odd about a valid policy.
//
// Stability: this is version 0. The texts that are taken and refused, the classes of
// failure and the codes of mistakes stay; more texts are taken only when Linux takes more.
// Messages change without notice. Names of this package may still change.
package policy

import "github.com/ipe-linux/ipe/digest"

// MaxName is the length in bytes of the longest name under which a kernel loads a policy:
// it makes a directory of it. Parse takes longer ones, as the kernel's parser does.
const MaxName = 255

// Policy is a parsed policy. Its name is the key under which it is deployed.
type Policy struct {
	Name    string
	Version Version
	// Default is the global default, NoAction if the policy has none.
	Default Action
	// OpDefault holds each operation's default, NoAction where there is none.
	OpDefault OpActions
	// Rules are in file order, those of all operations together. A rule's index
	// here is its identity in decisions, tables and events.
	Rules []Rule
}

// Rule is one line that is neither header nor default. It applies to events of
// its operation for which every property holds; without any, to all of them.
type Rule struct {
	Op         Op
	Properties []Property
	Action     Action
	// Line is where the rule stands in the text it was parsed from, from 1; 0 if
	// it was not parsed.
	Line int
}

// Property is one key=value test of a rule. Value counts for the boolean keys,
// Digest for the digest keys.
type Property struct {
	Key    Key
	Value  bool
	Digest digest.Digest
}

// Action is what a statement decides.
type Action uint8

// The actions. NoAction marks a default that was not given.
const (
	NoAction Action = iota
	Allow
	Deny
)

// Op is what is being done to a file or by the kernel.
type Op uint8

// The operations in the order of the kernel's enum ipe_op_type. OpUnknown is
// what a hook asks about when the kernel's own id has no operation; no policy
// can name it, and only the global default decides it.
const (
	OpExecute Op = iota
	OpFirmware
	OpKModule
	OpKexecImage
	OpKexecInitramfs
	OpPolicy
	OpX509Cert
	OpUnknown

	numOps = int(OpUnknown)
)

// Known reports whether a policy can name the operation.
func (o Op) Known() bool { return int(o) < numOps }

// OpActions has an action for each operation that a policy can name. The zero OpActions
// has none.
type OpActions struct{ actions [numOps]Action }

// Of returns the action of the operation; NoAction if it has none.
func (a OpActions) Of(op Op) Action {
	if op.Known() {
		return a.actions[op]
	}
	return NoAction
}

// Equal reports whether both have the same actions, as == does.
func (a OpActions) Equal(b OpActions) bool { return a == b }

// Set gives the operation an action. It panics if no policy can name the operation.
func (a *OpActions) Set(op Op, action Action) { a.actions[op] = action }

// Key names a property.
type Key uint8

// The properties. Each is a fact that cannot change while the file is in use.
const (
	BootVerified Key = iota
	DMVerityRoothash
	DMVeritySignature
	FSVerityDigest
	FSVeritySignature

	numKeys = int(FSVeritySignature) + 1
)

// IsDigest reports whether the key takes a digest rather than TRUE or FALSE.
func (k Key) IsDigest() bool { return k == DMVerityRoothash || k == FSVerityDigest }

// KeySet is a set of property keys.
type KeySet uint8

// Keys returns the set of the given keys.
func Keys(keys ...Key) KeySet {
	var s KeySet
	for _, k := range keys {
		s |= 1 << k
	}
	return s
}

// Has reports whether k is in the set.
func (s KeySet) Has(k Key) bool { return s&(1<<k) != 0 }
