package api

// Status is what is known about enforcement, read back from the kernel.
type Status struct {
	// Summary is "enforcing", "permissive", "no policy: everything is allowed", or
	// begins with "active, not proven:" or "NOT ENFORCING:".
	Summary string `json:"summary"`
	// Enforcing: the kernel was seen to deny what the active policy denies, and
	// nothing was seen to go against it.
	Enforcing bool `json:"enforcing"`
	// State is Summary as one of the words below, for programs.
	State string `json:"state"`
	// Reasons say why it is not enforcing; empty if it is.
	Reasons []string `json:"reasons"`
	Engine  string   `json:"engine"`
	// EngineReason says why it is this
	EngineReason string `json:"engine_reason"`
	// Active is nil without an active policy.
	Active *Info `json:"active"`
	// Mode is what was asked for; Kernel.Mode is what the kernel does.
	Mode   Mode        `json:"mode"`
	Kernel KernelState `json:"kernel"`
	// KernelSHA256 identifies the policy that the kernel decides by; empty if none.
	KernelSHA256 string `json:"kernel_sha256"`
	// Profile is nil where none was loaded. Kernel.Profile is what the kernel does.
	Profile *Profile `json:"loaded_profile"`
	// SelfTest is the last one; nil before the first.
	SelfTest     *SelfTest    `json:"self_test"`
	Capabilities []Capability `json:"capabilities"`
	// Problems are what an administrator should look at, sorted.
	Problems []string `json:"problems"`
	// What became of the decisions that were to be recorded since this process started.
	// Recorded counts those that were passed on to the sinks one by one, Merged those that
	// were passed on in the count of equal ones, OverShare those that were not, for their
	// user had enough. Beside them are those of Kernel.Lost, which are counted from when
	// the engine was first started.
	Recorded  uint64 `json:"recorded"`
	Merged    uint64 `json:"merged"`
	OverShare uint64 `json:"over_share"`
	// Refusals counts requests without rights to load a policy, which are recorded as far
	// as the share of who made them goes, and were not.
	Refusals uint64 `json:"refusals_over_share"`
	// Users are those with the most over their share, here and in the kernel.
	Users []UserCount `json:"users"`
	// Missed counts entries that a slow follower of Events did not get.
	Missed uint64 `json:"missed"`
	// Unnamed counts decisions whose policy is forgotten, which thus have no record.
	Unnamed uint64 `json:"unnamed"`
	// Sinks are where records go.
	Sinks []SinkStatus `json:"sinks"`
	// Anchors is the number of trusted certificates; Trust has it, too.
	Anchors int `json:"anchors"`
	// Trust says who may sign policies.
	Trust Trust `json:"trust"`
}

// The values of State.
const (
	StateEnforcing  = "enforcing"
	StatePermissive = "permissive"
	StateNoPolicy   = "no policy"
	// StateUnproven: a policy is active, and its denials have not been seen.
	StateUnproven = "not proven"
	// StateNot: a policy should be enforced, and is not.
	StateNot = "not enforcing"
)

// The values of KernelState.Profile.
const (
	// ProfileCompat asks what the kernel's own IPE asks.
	ProfileCompat = "compat"
	// ProfileStrict asks more: facts have to hold for all that is read.
	ProfileStrict = "strict"
)

// KernelState is what the engine read back from the kernel.
type KernelState struct {
	// HasPolicy is false while everything is allowed for lack of a policy.
	HasPolicy bool `json:"has_policy"`
	// Generation is that of the policy that decides now.
	Generation uint64 `json:"generation"`
	Mode       Mode   `json:"mode"`
	// Profile is one of the words above.
	Profile string `json:"profile"`
	// Swapped counts the mapped devices whose table took the place of another, and
	// UnknownTables those that were there before anybody looked: ProfileStrict takes no
	// facts from the former. With ProfileCompat both are 0.
	Swapped       int `json:"swapped"`
	UnknownTables int `json:"unknown_tables"`
	// Rules are the strict rules that are looked at.
	Rules []StrictRule `json:"strict_rules"`
	// Hooks are the attached hooks, by their LSM names.
	Hooks []string `json:"hooks"`
	// Missing are hooks without which this engine does not enforce; normally none.
	Missing []string `json:"missing_hooks"`
	// Deaf says why the kernel calls none of the attached programs; empty if it does.
	Deaf string `json:"deaf"`
	// OtherBuild: programs of another build of the engine are attached as well.
	OtherBuild bool `json:"other_build"`
	// Lost counts records that found no room, or were over the share of their user. No
	// verdict depended on them.
	Lost uint64 `json:"lost"`
	// OverShare counts those of Lost that were over the share of their user.
	OverShare uint64 `json:"over_share"`
	// Silent says why no decisions can be recorded; empty if they can.
	Silent string `json:"silent"`
	// SignedRoots counts the root hashes that iped vouches for.
	SignedRoots int `json:"signed_roots"`
	// Adopted: iped found the engine already enforcing and took it over.
	Adopted bool `json:"adopted"`
}

// StrictRule is a rule that is judged beside the policy.
type StrictRule struct {
	Rule string `json:"rule"`
	// Switch is "monitor" or "enforce".
	Switch string `json:"switch"`
	// Monitored counts what the rule found and let happen, Refused what it refused.
	Monitored uint64 `json:"monitored"`
	Refused   uint64 `json:"refused"`
}

// UserCount counts records of one user.
type UserCount struct {
	UID   uint32 `json:"uid"`
	Count uint64 `json:"count"`
}

// Capability is one property or hook, and whether this kernel provides it.
type Capability struct {
	Name      string `json:"name"`
	Available bool   `json:"available"`
	// Detail says how it is read, or why it cannot be.
	Detail string `json:"detail"`
}

// SinkStatus is what a sink has done.
type SinkStatus struct {
	// Name is as on iped's command line.
	Name    string `json:"name"`
	Written uint64 `json:"written"`
	Lost    uint64 `json:"lost"`
	// ChangesLost counts those of Lost that were records of changes.
	ChangesLost uint64 `json:"changes_lost"`
	// Error is why the last one was lost, or why a file could not be opened anew; empty
	// if all is well.
	Error string `json:"error"`
}

// Reloaded is what a daemon says that has read anew all that can change while it runs.
type Reloaded struct {
	// Certificates is the number of certificates that count from now on.
	Certificates int `json:"certificates"`
}

// Trust says who may sign policies.
type Trust struct {
	// Kind is one of the words below, for where the trust comes from.
	Kind string `json:"kind"`
	// Certificates is the number of certificates that iped was given.
	Certificates int `json:"certificates"`
}

// Kinds of trust. TrustKernel is that in the kernel's own keyrings, and in the
// certificates that iped was given as well, if there are any.
const (
	TrustCertificates = "certificates"
	TrustKernel       = "kernel"
)
