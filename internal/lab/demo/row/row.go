// Package row is what the two sides of the demonstration say to each other: the
// host gives the guest a Setup, and the guest's agent answers with Lines, one JSON
// object each. Every Row is something that was tried in the guest.
package row

// Where things stand in the guest.
const (
	SetupPath = "/demo/setup.json"
	// PolicyDir holds the policy texts (NAME.pol) and the signed ones (NAME.p7b).
	PolicyDir = "/demo/policies"
	// TrustDir holds the owner's certificate.
	TrustDir = "/etc/ipe/trust"
	// StackProgram asks for an executable stack, and ends.
	StackProgram = "/usr/bin/wants-stack"
	// SignaturePath is the signed root hash of the service volume.
	SignaturePath = "/demo/roothash.p7s"
)

// Disks of the guest, in the order of vm.Config.Disks.
const (
	StateDisk   = "/dev/vda"
	ServiceDisk = "/dev/vdb"
	DamagedDisk = "/dev/vdc"
	RemadeDisk  = "/dev/vdd"
)

// Policies, by the names of their files in PolicyDir without suffix.
const (
	// First and Second are two versions of the policy that is enforced.
	First  = "firewall-1.0.0"
	Second = "firewall-1.1.0"
	// Stranger is First, signed by somebody whom the appliance does not trust.
	Stranger = "stranger"
	// Tampered is First, signed by the owner and changed afterwards.
	Tampered = "tampered"
	// NewInstaller and OldInstaller are two versions of the policy of the time
	// before: active once, deleted later, and not to come back older.
	NewInstaller = "installer-0.2.0"
	OldInstaller = "installer-0.1.0"
	// Own is First, signed by whom the kernel itself trusts.
	Own = "own"
)

// FirewallName and InstallerName are the policy_name of the two policies.
const (
	FirewallName  = "firewall"
	InstallerName = "installer"
)

// Setup is the guest's work, at SetupPath.
type Setup struct {
	// Boot is 1, or 2 for the boot after.
	Boot int `json:"boot"`
	// Root is the root hash of the service volume, Remade that of its copy with
	// another nft, in hex.
	Root   string `json:"root"`
	Remade string `json:"remade"`
	// HashOffset is where the hash tree begins in each volume, in bytes.
	HashOffset int64 `json:"hash_offset"`
	// Signed: the service volume is opened with the signature at SignaturePath.
	Signed bool `json:"signed"`
}

// Row is one thing that was tried, and what came of it.
type Row struct {
	// Kernel is the series, such as "6.12", and Boot which of its boots; the host
	// fills both in.
	Kernel string `json:"kernel"`
	Boot   int    `json:"boot"`
	// Section is the heading that the row stands under.
	Section string `json:"section"`
	Tried   string `json:"tried"`
	// Policy is what has to happen: the decision of package eval about the evidence
	// found (ALLOW, DENY), "none" without a policy, or an answer that the life cycle
	// of policies demands (accept, refuse).
	Policy string `json:"policy"`
	// Answered is what the kernel did: "ok", an errno, a signal. For changes of
	// policy it is what iped answered.
	Answered string `json:"answered"`
	// Rule is the statement that decided, from the engine's record of the decision;
	// for a refused change of policy, the reason given.
	Rule string `json:"rule"`
	// Own and Compat are what the kernel's own IPE and iped --profile compat answered where
	// Policy is strict; empty in all other rows.
	Own    string `json:"own,omitempty"`
	Compat string `json:"compat,omitempty"`
	// OK: all of the above are as they have to be. Otherwise Why says what is not.
	OK  bool   `json:"ok"`
	Why string `json:"why,omitempty"`
}

// Output is a command that was run in the guest, and what it printed.
type Output struct {
	Command string `json:"command"`
	Text    string `json:"text"`
}

// Line is one line of what the agent writes; one of its fields is set.
type Line struct {
	Row    *Row    `json:"row,omitempty"`
	Output *Output `json:"output,omitempty"`
	// Done is the last line: every case has its row.
	Done bool `json:"done,omitempty"`
}
