// Package engine defines what enforces an active policy: a set of BPF programs,
// or a kernel that has IPE itself. An engine reports decisions; what becomes of
// them is not its business.
package engine

import (
	"context"
	"time"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/profile"
	"github.com/ipe-linux/ipe/internal/strict"
	"github.com/ipe-linux/ipe/policy"
)

// Mode is how decisions take effect.
type Mode struct {
	// Enforce: a DENY becomes EACCES. Otherwise it is only recorded (permissive).
	Enforce bool
	// SuccessAudit: an ALLOW is recorded, too.
	SuccessAudit bool
}

// Profile is what is asked beyond what the kernel's own IPE asks. The zero value asks
// nothing more: verdicts are those of the kernel's IPE.
type Profile struct {
	// HonestFacts: files have the facts of dm-verity only where the volume verifies each
	// block at each read, and the file system has all of its data there.
	HonestFacts bool
	// Rules are those that are judged beside the policy.
	Rules strict.Rules
	// Exceptions hold for processes that execute one of these executables after the
	// engine knows of it, and for what they fork, until they execute another.
	Exceptions []profile.Exception
}

// Strict is the profile that asks for all that there is.
func Strict() Profile { return Profile{HonestFacts: true, Rules: strict.Enforced()} }

// Asks reports whether the profile asks for more than the kernel's own IPE.
func (p Profile) Asks() bool {
	return p.HonestFacts || p.Rules.Any(strict.All()...) || len(p.Exceptions) > 0
}

// Profiler is an engine that can be asked for more than the kernel's own IPE asks.
type Profiler interface {
	// SetProfile makes p what is asked from now on. On error nothing weaker than before
	// is asked. Processes of executables that p no longer excepts lose their exceptions.
	SetProfile(p Profile) error
}

// RuleCount counts what a strict rule found: Monitored happened, Refused did not.
type RuleCount struct {
	Rule               strict.Rule
	Monitored, Refused uint64
}

// Active is a policy on its way to, or in, the kernel.
type Active struct {
	Policy *policy.Policy
	// ID is the SHA-256 of the whole signed message, or of nothing for a boot
	// policy: what the kernel's records call the policy digest.
	ID [32]byte
	// Envelope is the signed message; nil for a boot policy.
	Envelope []byte
}

// State is read back from the kernel, never from memory.
type State struct {
	// HasPolicy is false while everything is allowed for lack of a policy.
	HasPolicy bool
	// ID and Generation are those of the policy that decides now.
	ID         [32]byte
	Generation uint64
	Mode       Mode
	Profile    Profile
	// Swapped counts the mapped devices whose table took the place of another: no honest
	// fact comes from them. Unknown counts those that were there before anybody looked.
	Swapped, Unknown int
	// Excepted counts the executables that have exceptions; Profile does not say which.
	Excepted int
	// RuleCounts are those of the strict rules that are on, since the engine was started for
	// the first time.
	RuleCounts []RuleCount
	// Hooks are the attached hooks, by their LSM names.
	Hooks []string
	// Missing are hooks without which this engine does not enforce; normally none.
	Missing []string
	// Deaf says why the kernel calls none of the attached programs; empty if it does.
	Deaf string
	// Problems are what an administrator should look at.
	Problems []string
	// OtherBuild: programs of another build of the engine are attached as well.
	OtherBuild bool
	// Lost counts records that found no room, or were over the share of their user. No
	// verdict depended on them.
	Lost uint64
	// OverShare counts those of Lost that were over the share of their user, and Users
	// tells whose, as far as it is remembered.
	OverShare uint64
	Users     []UserCount
	// Silent says why no decisions can be recorded; empty if they can.
	Silent string
	// SignedRoots counts the root hashes that RootSigner was given.
	SignedRoots int
	// Adopted: this process found the engine already enforcing and took it over.
	Adopted bool
}

// UserCount counts records of one user.
type UserCount struct {
	UID   uint32
	Count uint64
}

// Capability is one property or hook, and whether this kernel provides it.
type Capability struct {
	Name      string
	Available bool
	// Detail says how it is read, or why it cannot be.
	Detail string
}

// Probe is one action that a self-test tried.
type Probe struct {
	Name string
	// Want is what the policy demands, Got what the kernel answered ("EACCES", "ok").
	Want string
	Got  string
	OK   bool
	// Unclear: the answer proves nothing either way, for example because something
	// else refused first, or because the record of the decision was lost.
	Unclear bool
}

// SelfTest is the outcome of actions that were really tried on the running kernel.
type SelfTest struct {
	Time   time.Time
	Probes []Probe
	// DenialSeen: at least one action that the policy denies was denied, and no
	// probe went against the policy. Only then may anything say "enforcing".
	DenialSeen bool
	// Failed: a probe went against the policy; unclear ones did not.
	Failed bool
}

// Event is a recorded decision.
type Event struct {
	Time       time.Time
	Generation uint64
	Enforcing  bool
	// Event's Evidence is not known, and left empty, if NoEvidence is set: a kernel's
	// own records do not have it.
	Event      eval.Event
	NoEvidence bool
	Decision   eval.Decision
	// Rule is a strict rule that refused something, and did so beside the policy: then
	// neither Event nor Policy says anything. It is strict.None for a policy's decision.
	Rule strict.Rule
	// Policy is the one that decided, if the engine knows it; otherwise it is that of
	// the Generation. If not even the kernel's record tells, it has no name.
	Policy *policy.Policy
	PID    uint32
	Comm   string
	// UID is whose process it is. It is not known, and 0, if NoUID is set: a kernel's
	// own records do not have it.
	UID   uint32
	NoUID bool
	// Path is the file's as the task's root sees it, any bytes, as in a kernel's record
	// 1420; empty without a file.
	Path string
	// Device is the superblock's id ("dm-0", "tmpfs"), empty without a file.
	Device string
	Inode  uint64
}

// Engine enforces one active policy. Its methods may be called concurrently.
type Engine interface {
	// Name is "bpf" or "securityfs".
	Name() string
	// Capabilities lists properties and hooks with what this kernel gives.
	Capabilities() []Capability
	// Unavailable is the set of properties that are false in both forms here.
	Unavailable() policy.KeySet
	// Activate makes a the policy that decides, atomically: each decision sees the
	// old policy or the new one whole. On error the old one stays.
	Activate(a Active) error
	// SetMode changes enforce and success_audit.
	SetMode(m Mode) error
	// State reads back what the kernel holds.
	State() (State, error)
	// SelfTest tries, on the live kernel, actions that a decides.
	SelfTest(a Active) (SelfTest, error)
	// Events calls fn for each recorded decision until ctx ends.
	Events(ctx context.Context, fn func(Event)) error
	// Close lets go of the engine. Enforcement continues.
	Close() error
}

// RootSigner is an engine that takes the word of its caller for signatures of root
// hashes, for volumes that the kernel itself was given none of.
type RootSigner interface {
	// SetSignedRoots makes dmverity_signature true of volumes with these root hashes,
	// too; those of an earlier call count no longer. They outlive this process.
	SetSignedRoots(roots []digest.Digest) error
}

// Recaller is an engine that lacks facts, for the kernel told them before it listened.
type Recaller interface {
	// Recall takes them up, and returns when that is done. It may take long. Activate
	// begins it, and waits a while, for a policy whose decisions need them.
	Recall()
}

// VerifierError is the kernel's refusal of a BPF program, with its whole log.
type VerifierError struct {
	Err error
	Log []string
}

// Error is the verifier's summary.
func (e *VerifierError) Error() string { return e.Err.Error() }

// Unwrap returns the underlying error.
func (e *VerifierError) Unwrap() error { return e.Err }
