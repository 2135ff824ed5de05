// Package eval decides events by a policy: the first rule of the operation whose
// properties all hold, else the operation's default, else the global one.
//
// It is pure and slow on purpose, a line-by-line reading of the kernel's
// security/ipe/eval.c, and so the oracle that decision tables and engines are
// tested against.
//
// Stability: this is version 0. Verdicts are those of Linux 6.12 and stay; hooks and facts
// are added as kernels get them, so a program has to expect a hook that it does not know.
// Names of this package may still change.
package eval

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/policy"
)

// Hook is the entry point of the kernel that asked. It never bears on a
// decision; records name it.
type Hook uint8

// The hooks, in the order of the kernel's enum ipe_hook_type.
const (
	HookBprmCheck Hook = iota
	HookBprmCredsForExec
	HookMmap
	HookMprotect
	HookKernelRead
	HookKernelLoad

	numHooks = int(HookKernelLoad) + 1
)

var hookNames = [numHooks]string{
	"BPRM_CHECK", "BPRM_CREDS_FOR_EXEC", "MMAP", "MPROTECT", "KERNEL_READ", "KERNEL_LOAD",
}

// String returns the hook as records spell it.
func (h Hook) String() string {
	if int(h) < len(hookNames) {
		return hookNames[h]
	}
	return "UNKNOWN"
}

// MarshalText implements [encoding.TextMarshaler]. It fails for what is no hook.
func (h Hook) MarshalText() ([]byte, error) {
	if int(h) >= numHooks {
		return nil, fmt.Errorf("hook %d: %w", h, errHook)
	}
	return []byte(hookNames[h]), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]; see [ParseHook].
func (h *Hook) UnmarshalText(text []byte) (err error) {
	*h, err = ParseHook(string(text))
	return err
}

// ParseHook reads a hook as records spell it.
func ParseHook(text string) (Hook, error) {
	i := slices.Index(hookNames[:], text)
	if i < 0 {
		return 0, fmt.Errorf("hook %q: %w", text, errHook)
	}
	return Hook(i), nil
}

var errHook = errors.New("no such hook")

// Evidence is what is known about a file. The zero Evidence is that of a plain
// file, or of no file at all: every fact is absent.
type Evidence struct {
	// BootVerified: the mount's superblock is the initramfs.
	BootVerified bool
	// RootHash is the dm-verity root hash of the volume, zero if it has none.
	RootHash digest.Digest
	// RootHashSigned: the volume was opened with a valid root-hash signature.
	RootHashSigned bool
	// FileDigest is the fs-verity digest, zero without fs-verity.
	FileDigest digest.Digest
	// FileDigestSigned: the kernel verified a built-in fs-verity signature.
	FileDigestSigned bool
	// Unavailable names the properties that this kernel cannot provide. As in a
	// kernel built without them, a test of such a property is false in both its
	// forms. boot_verified is always there and is ignored here.
	Unavailable policy.KeySet
}

// Event is one question put to a policy.
type Event struct {
	Op       policy.Op
	Hook     Hook
	Evidence Evidence
}

// NoRule is Decision.Rule when a default decided.
const NoRule = -1

// Decision is the answer to an event.
type Decision struct {
	Action policy.Action
	Scope  policy.Scope
	// Rule is the index in Policy.Rules of the rule that matched, or NoRule.
	Rule int
}

// Decide returns p's decision about e. A nil policy allows everything, as the
// kernel does while no policy is active. An unknown operation is decided by the
// global default, and allowed if there is none.
func Decide(p *policy.Policy, e Event) Decision {
	if p == nil {
		return Decision{Action: policy.Allow, Scope: policy.ScopeGlobal, Rule: NoRule}
	}
	if e.Op.Known() {
		for i := range p.Rules {
			if r := &p.Rules[i]; r.Op == e.Op && matches(r, &e.Evidence) {
				return Decision{Action: r.Action, Scope: policy.ScopeRule, Rule: i}
			}
		}
	}
	return fallback(p, e.Op)
}

// fallback is the decision when no rule matched.
func fallback(p *policy.Policy, op policy.Op) Decision {
	if a := p.OpDefault.Of(op); a != policy.NoAction {
		return Decision{Action: a, Scope: policy.ScopeOp, Rule: NoRule}
	}
	if p.Default == policy.NoAction {
		return Decision{Action: policy.Allow, Scope: policy.ScopeGlobal, Rule: NoRule}
	}
	return Decision{Action: p.Default, Scope: policy.ScopeGlobal, Rule: NoRule}
}

func matches(r *policy.Rule, ev *Evidence) bool {
	for i := range r.Properties {
		if !Holds(r.Properties[i], ev) {
			return false
		}
	}
	return true
}

// Holds reports whether one property is true of the evidence. An absent digest
// equals no literal, not even an empty one.
func Holds(p policy.Property, ev *Evidence) bool {
	if p.Key != policy.BootVerified && ev.Unavailable.Has(p.Key) {
		return false
	}
	switch p.Key {
	case policy.BootVerified:
		return ev.BootVerified == p.Value
	case policy.DMVerityRoothash:
		return !ev.RootHash.IsZero() && ev.RootHash.Equal(p.Digest)
	case policy.DMVeritySignature:
		return ev.RootHashSigned == p.Value
	case policy.FSVerityDigest:
		return !ev.FileDigest.IsZero() && ev.FileDigest.Equal(p.Digest)
	case policy.FSVeritySignature:
		return ev.FileDigestSigned == p.Value
	}
	return false
}
