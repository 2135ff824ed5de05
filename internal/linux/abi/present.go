package abi

import (
	"crypto/x509"
	"encoding/hex"
	"path/filepath"
	"slices"
	"strings"
)

// HasIPE reports whether the kernel runs IPE itself.
func (s *System) HasIPE() bool { return s.exists("sys/kernel/security/ipe") }

// BPFAttached reports whether the BPF engine has pinned its programs, and so decides
// as soon as it has a policy.
func BPFAttached() bool { return (&System{}).BPFAttached() }

// BPFAttached is BPFAttached for this System.
func (s *System) BPFAttached() bool {
	links, err := filepath.Glob(s.path("sys/fs/bpf/ipe/v*-*/link_*"))
	return err == nil && len(links) > 0
}

// TrustsAny reports whether the kernel's own keyrings have the key of one of the
// certificates, or of its issuer, and so take what its holder signs.
func (s *System) TrustsAny(certificates []*x509.Certificate) (bool, error) {
	keys, err := s.trustedKeys()
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(certificates, func(c *x509.Certificate) bool { return trusts(keys, c) }), nil
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
