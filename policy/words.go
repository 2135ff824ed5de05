package policy

import (
	"fmt"
	"slices"
	"strings"
)

// The words of the language, once: parser, printer and records read these.
var (
	opNames = [...]string{
		OpExecute: "EXECUTE", OpFirmware: "FIRMWARE", OpKModule: "KMODULE",
		OpKexecImage: "KEXEC_IMAGE", OpKexecInitramfs: "KEXEC_INITRAMFS",
		OpPolicy: "POLICY", OpX509Cert: "X509_CERT", OpUnknown: "UNKNOWN",
	}
	actionNames = [...]string{NoAction: "", Allow: "ALLOW", Deny: "DENY"}
	keyNames    = [...]string{
		BootVerified: "boot_verified", DMVerityRoothash: "dmverity_roothash",
		DMVeritySignature: "dmverity_signature", FSVerityDigest: "fsverity_digest",
		FSVeritySignature: "fsverity_signature",
	}
)

// String returns the operation as policies and records spell it.
func (o Op) String() string { return nameOf(opNames[:], int(o)) }

// String returns ALLOW or DENY, and nothing for NoAction.
func (a Action) String() string { return nameOf(actionNames[:], int(a)) }

// String returns the property's name.
func (k Key) String() string { return nameOf(keyNames[:], int(k)) }

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return "?"
}

// Ops returns the operations that a policy can name, in their order.
func Ops() []Op { return upTo[Op](numOps) }

// AllKeys returns the properties of the language, in their order.
func AllKeys() []Key { return upTo[Key](numKeys) }

func upTo[T ~uint8](n int) []T {
	all := make([]T, n)
	for i := range all {
		all[i] = T(i)
	}
	return all
}

// ParseOp reads the name of an operation that a policy can name, such as EXECUTE. The
// error is a *SyntaxError without position, in the class that the same word in a policy
// would give.
func ParseOp(text string) (Op, error) {
	return word[Op](opNames[:numOps], text, "operation")
}

// ParseAction reads ALLOW or DENY. The error is as that of ParseOp.
func ParseAction(text string) (Action, error) {
	a, err := word[Action](actionNames[Allow:], text, "action")
	return a + Allow, err
}

// ParseKey reads the name of a property. The error is as that of ParseOp.
func ParseKey(text string) (Key, error) {
	return word[Key](keyNames[:], text, "property")
}

// word finds a word among those of one kind.
func word[T ~uint8](words []string, text, kind string) (T, error) {
	i := slices.Index(words, text)
	if i < 0 {
		err := refuse(ErrSyntax, CodeWord, "unknown %s: there are %s", kind, strings.Join(words, ", "))
		err.Token = text
		return 0, err
	}
	return T(i), nil
}

// MarshalText implements [encoding.TextMarshaler]. It fails for what is no operation.
func (o Op) MarshalText() ([]byte, error) { return marshal(opNames[:], int(o), "operation") }

// UnmarshalText implements [encoding.TextUnmarshaler]. It reads what MarshalText writes,
// UNKNOWN too, which records have.
func (o *Op) UnmarshalText(text []byte) (err error) {
	*o, err = word[Op](opNames[:], string(text), "operation")
	return err
}

// MarshalText implements [encoding.TextMarshaler]. NoAction is nothing.
func (a Action) MarshalText() ([]byte, error) { return marshal(actionNames[:], int(a), "action") }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (a *Action) UnmarshalText(text []byte) (err error) {
	*a, err = word[Action](actionNames[:], string(text), "action")
	return err
}

// MarshalText implements [encoding.TextMarshaler]. It fails for what is no property.
func (k Key) MarshalText() ([]byte, error) { return marshal(keyNames[:], int(k), "property") }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (k *Key) UnmarshalText(text []byte) (err error) {
	*k, err = ParseKey(string(text))
	return err
}

func marshal(names []string, i int, kind string) ([]byte, error) {
	if i >= len(names) {
		return nil, fmt.Errorf("%s %d: %w", kind, i, ErrSyntax)
	}
	return []byte(names[i]), nil
}
