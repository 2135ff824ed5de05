package abi

import (
	"crypto/x509"
	"encoding/hex"
	"path/filepath"
	"slices"
	"strings"
)

// The engines that a choice names.
const (
	EngineBPF        = "bpf"
	EngineSecurityfs = "securityfs"
)

// Choice is the engine that suits this machine, and why.
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
}

// Choose prefers the kernel's own IPE where it can do what is wished. What enforces
// already is never exchanged for something else while the machine runs.
func Choose(w Wish) Choice { return (&System{}).Choose(w) }

// Choose is Choose for this System.
func (s *System) Choose(w Wish) Choice {
	switch {
	case !s.exists("sys/kernel/security/ipe"):
		return Choice{EngineBPF, "this kernel does not run IPE itself"}
	case s.bpfAttached():
		return Choice{EngineBPF, "it is attached already, beside the kernel's own IPE; after a reboot the choice is free again"}
	case w.BootPolicy:
		return Choice{EngineBPF, "a boot policy is given, and the kernel's own IPE takes none but that compiled into it"}
	case w.RootHashes:
		return Choice{EngineBPF, "signed root hashes are given, and the kernel's own IPE takes none but those of opened volumes"}
	case len(w.Certificates) == 0:
		return Choice{EngineSecurityfs, "this kernel has IPE itself"}
	}
	keys, err := s.trustedKeys()
	if err != nil {
		return Choice{EngineBPF, "the kernel has IPE itself, but whether it trusts a given certificate cannot be told: " + err.Error()}
	}
	if !slices.ContainsFunc(w.Certificates, func(c *x509.Certificate) bool { return trusts(keys, c) }) {
		return Choice{EngineBPF, "the kernel has IPE itself, but none of the given certificates is in its keyrings"}
	}
	return Choice{EngineSecurityfs, "this kernel has IPE itself, and trusts a given certificate"}
}

// BPFAttached reports whether the BPF engine has pinned its programs, and so decides
// as soon as it has a policy.
func BPFAttached() bool { return (&System{}).bpfAttached() }

func (s *System) bpfAttached() bool {
	links, err := filepath.Glob(s.path("sys/fs/bpf/ipe/v*-*/link_*"))
	return err == nil && len(links) > 0
}

// trusts reports whether a keyring has the certificate's key, or that of its issuer.
// A key is described by its subject and its identifier: the certificate's key
// identifier, or its serial number if it has none.
func trusts(keys []string, c *x509.Certificate) bool {
	ids := [][]byte{c.SubjectKeyId, c.AuthorityKeyId}
	if len(c.SubjectKeyId) == 0 {
		ids = append(ids, c.SerialNumber.Bytes())
	}
	return slices.ContainsFunc(ids, func(id []byte) bool {
		return len(id) > 0 && slices.ContainsFunc(keys, func(k string) bool { return strings.HasSuffix(k, ": "+hex.EncodeToString(id)) })
	})
}
