package api

import "crypto/x509"

// Engines by name.
const (
	EngineBPF        = "bpf"
	EngineSecurityfs = "securityfs"
)

// Choice is the engine that suits a machine, and why.
type Choice struct {
	Engine string `json:"engine"`
	Reason string `json:"reason"`
}

// Wish is what bears on the choice of an engine besides the kernel.
type Wish struct {
	// Certificates are those whose holders are to sign policies; none means that
	// nobody was named.
	Certificates []*x509.Certificate
	// BootPolicy: an unsigned policy is to be active at first.
	BootPolicy bool
	// RootHashes: volumes are to count as signed by root hashes whose signatures iped
	// checks.
	RootHashes bool
	// Profile: more is asked than the kernel's own IPE asks, or a profile is loaded.
	Profile bool
}

// Machine is what the choice has to know of the kernel that runs.
type Machine interface {
	// HasIPE: the kernel runs IPE itself.
	HasIPE() bool
	// BPFAttached: the BPF engine decides, or will as soon as it has a policy.
	BPFAttached() bool
	// TrustsAny reports whether the kernel takes what holders of the certificates sign.
	TrustsAny(certificates []*x509.Certificate) (bool, error)
}

// Choose is what iped --engine auto starts. It prefers the kernel's own IPE where that can
// do what is wished. What enforces already is never exchanged for something else while
// the machine runs.
func Choose(m Machine, w Wish) Choice {
	switch {
	case !m.HasIPE():
		return Choice{EngineBPF, "this kernel does not run IPE itself"}
	case m.BPFAttached():
		return Choice{EngineBPF, "it is attached already, beside the kernel's own IPE; after a reboot the choice is free again"}
	case w.BootPolicy:
		return Choice{EngineBPF, "a boot policy is given, and the kernel's own IPE takes none but that compiled into it"}
	case w.RootHashes:
		return Choice{EngineBPF, "signed root hashes are given, and the kernel's own IPE takes none but those of opened volumes"}
	case w.Profile:
		return Choice{EngineBPF, "a profile is asked for or loaded, and the kernel's own IPE has none"}
	case len(w.Certificates) == 0:
		return Choice{EngineSecurityfs, "this kernel has IPE itself"}
	}
	trusted, err := m.TrustsAny(w.Certificates)
	switch {
	case err != nil:
		return Choice{EngineBPF, "the kernel has IPE itself, but whether it trusts a given certificate cannot be told: " + err.Error()}
	case !trusted:
		return Choice{EngineBPF, "the kernel has IPE itself, but none of the given certificates is in its keyrings"}
	}
	return Choice{EngineSecurityfs, "this kernel has IPE itself, and trusts a given certificate"}
}
