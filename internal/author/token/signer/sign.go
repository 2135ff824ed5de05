//go:build cgo

package signer

import (
	"encoding/asn1"
	"fmt"
	"math/big"

	"github.com/miekg/pkcs11"

	"github.com/ipe-linux/ipe/internal/author/token"
	"github.com/ipe-linux/ipe/internal/plain"
)

// digestInfo is what stands before a digest that RSA signs, by the name of its hash
// (RFC 8017, section 9.2, note 1). The last byte is the digest's length.
func digestInfo(hash string) []byte {
	switch hash {
	case "sha256":
		return []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}
	case "sha384":
		return []byte{0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30}
	case "sha512":
		return []byte{0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40}
	}
	return nil
}

// sign has the token sign a digest.
func (s *session) sign(hash string, digest []byte) ([]byte, error) {
	if s.key == nil {
		return nil, errOrder
	}
	prefix := digestInfo(hash)
	if prefix == nil || len(digest) != int(prefix[len(prefix)-1]) {
		return nil, token.Errorf(token.Unsupported, "no such hash, or a digest of another length")
	}
	mechanism, message := uint(pkcs11.CKM_ECDSA), digest
	if s.key.rsa {
		mechanism, message = pkcs11.CKM_RSA_PKCS, append(prefix, digest...)
	}
	if err := s.module.SignInit(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, s.key.object); err != nil {
		return nil, fmt.Errorf("key %s: %w", plain.Name(s.key.label), err)
	}
	if s.key.again {
		if err := s.module.Login(s.handle, pkcs11.CKU_CONTEXT_SPECIFIC, s.pin); err != nil {
			return nil, s.pinError(s.key.label, err)
		}
	}
	sig, err := s.module.Sign(s.handle, message)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", plain.Name(s.key.label), err)
	}
	if s.key.rsa {
		return sig, nil
	}
	return ecdsaASN1(sig)
}

// ecdsaASN1 makes two numbers of equal length what the rest of the world writes.
func ecdsaASN1(sig []byte) ([]byte, error) {
	half := len(sig) / 2
	if half == 0 || len(sig)%2 != 0 {
		return nil, token.Errorf(token.Other, "a signature of %d bytes is none of ECDSA", len(sig))
	}
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])})
}
