//go:build cgo

package signer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"

	"github.com/miekg/pkcs11"

	"github.com/ipe-linux/ipe/internal/author/pkcs11uri"
	"github.com/ipe-linux/ipe/internal/author/token"
	"github.com/ipe-linux/ipe/internal/plain"
)

// key is the private key that signs.
type key struct {
	object pkcs11.ObjectHandle
	rsa    bool
	again  bool // it wants the PIN for each signature
	id     []byte
	label  string
}

// find looks for the one private key of the URI that signs.
func (s *session) find() (*token.Key, error) {
	if !s.opened || s.key != nil {
		return nil, errOrder
	}
	template := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY), pkcs11.NewAttribute(pkcs11.CKA_SIGN, true)}
	all := template
	if label, ok := s.uri.Get(pkcs11uri.Object); ok {
		template = append(template[:2:2], pkcs11.NewAttribute(pkcs11.CKA_LABEL, label))
	}
	if id, ok := s.uri.Get(pkcs11uri.ID); ok {
		template = append(template[:len(template):len(template)], pkcs11.NewAttribute(pkcs11.CKA_ID, []byte(id)))
	}
	objects, err := s.objects(template)
	if err != nil {
		return nil, err
	}
	switch len(objects) {
	case 0:
		others, err := s.objects(all)
		if err != nil {
			return nil, err
		}
		return nil, token.Errorf(token.NoKey, "no key that signs is as the URI says; there are: %s", s.names(others))
	case 1:
	default:
		return nil, token.Errorf(token.Keys, "%d keys are as the URI says: %s", len(objects), s.names(objects))
	}
	k, err := s.load(objects[0])
	if err != nil {
		return nil, err
	}
	return s.public(k)
}

// objects finds at most one more than an error would show.
func (s *session) objects(template []*pkcs11.Attribute) ([]pkcs11.ObjectHandle, error) {
	if err := s.module.FindObjectsInit(s.handle, template); err != nil {
		return nil, fmt.Errorf("search token: %w", err)
	}
	var found []pkcs11.ObjectHandle
	for len(found) <= maxShown {
		some, _, err := s.module.FindObjects(s.handle, maxShown)
		if err != nil {
			return nil, fmt.Errorf("search token: %w", err)
		}
		if len(some) == 0 {
			break
		}
		found = append(found, some...)
	}
	if err := s.module.FindObjectsFinal(s.handle); err != nil {
		return nil, fmt.Errorf("search token: %w", err)
	}
	return found, nil
}

// names lists keys as URIs would name them.
func (s *session) names(objects []pkcs11.ObjectHandle) string {
	var names []string
	for _, o := range objects {
		id := ""
		for _, b := range s.get(o, pkcs11.CKA_ID) {
			id += fmt.Sprintf("%%%02X", b)
		}
		names = append(names, fmt.Sprintf("%s (id=%s)", plain.Name(string(s.get(o, pkcs11.CKA_LABEL))), id))
	}
	return shown(names)
}

// get returns an attribute; nothing if the object has none such.
func (s *session) get(o pkcs11.ObjectHandle, attribute uint) []byte {
	a, err := s.module.GetAttributeValue(s.handle, o, []*pkcs11.Attribute{pkcs11.NewAttribute(attribute, nil)})
	if err != nil || len(a) != 1 {
		return nil
	}
	return a[0].Value
}

func (s *session) load(o pkcs11.ObjectHandle) (*key, error) {
	k := &key{object: o, id: s.get(o, pkcs11.CKA_ID), label: string(s.get(o, pkcs11.CKA_LABEL))}
	k.again = isTrue(s.get(o, pkcs11.CKA_ALWAYS_AUTHENTICATE))
	switch kind := number(s.get(o, pkcs11.CKA_KEY_TYPE)); kind {
	case pkcs11.CKK_RSA:
		k.rsa = true
	case pkcs11.CKK_EC:
	default:
		return nil, token.Errorf(token.Unsupported, "key %s is neither RSA nor ECDSA (type %#x)", plain.Name(k.label), kind)
	}
	s.key = k
	return k, nil
}

func isTrue(b []byte) bool { return len(b) == 1 && b[0] != 0 }

// number reads a CK_ULONG, which is as long as a word of the machine.
func number(b []byte) uint64 {
	switch len(b) {
	case 4:
		return uint64(binary.NativeEndian.Uint32(b))
	case 8:
		return binary.NativeEndian.Uint64(b)
	}
	return ^uint64(0)
}

// public collects the certificates, and the public key if the token shows one.
func (s *session) public(k *key) (*token.Key, error) {
	r := &token.Key{Certificates: [][]byte{}}
	for _, o := range s.beside(k, pkcs11.CKO_CERTIFICATE) {
		if der := s.get(o, pkcs11.CKA_VALUE); len(der) > 0 {
			r.Certificates = append(r.Certificates, der)
		}
	}
	places := append([]pkcs11.ObjectHandle{k.object}, s.beside(k, pkcs11.CKO_PUBLIC_KEY)...)
	for _, o := range places {
		if pub := s.publicOf(k, o); pub != nil {
			der, err := x509.MarshalPKIXPublicKey(pub)
			r.Public = der
			return r, err
		}
	}
	for _, der := range r.Certificates {
		if cert, err := x509.ParseCertificate(der); err == nil {
			r.Public = cert.RawSubjectPublicKeyInfo
			return r, nil
		}
	}
	return r, nil
}

// beside returns objects with the key's id; without one, with its label.
func (s *session) beside(k *key, class uint) []pkcs11.ObjectHandle {
	name := pkcs11.NewAttribute(pkcs11.CKA_ID, k.id)
	if len(k.id) == 0 {
		name = pkcs11.NewAttribute(pkcs11.CKA_LABEL, k.label)
	}
	objects, err := s.objects([]*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, class), name})
	if err != nil {
		return nil
	}
	return objects
}

// publicOf reads the public key from an object, if it is there.
func (s *session) publicOf(k *key, o pkcs11.ObjectHandle) any {
	if k.rsa {
		n, e := s.get(o, pkcs11.CKA_MODULUS), new(big.Int).SetBytes(s.get(o, pkcs11.CKA_PUBLIC_EXPONENT))
		if len(n) == 0 || e.Sign() <= 0 || !e.IsInt64() || e.Int64() > 1<<31-1 {
			return nil
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(e.Int64())}
	}
	if pub := pointOn(s.get(o, pkcs11.CKA_EC_PARAMS), s.get(o, pkcs11.CKA_EC_POINT)); pub != nil {
		return pub
	}
	return nil
}

// curves by their object identifiers in DER.
func curveOf(params []byte) elliptic.Curve {
	var oid asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(params, &oid); err != nil || len(rest) > 0 {
		return nil
	}
	switch oid.String() {
	case "1.2.840.10045.3.1.7":
		return elliptic.P256()
	case "1.3.132.0.34":
		return elliptic.P384()
	case "1.3.132.0.35":
		return elliptic.P521()
	}
	return nil
}

// pointOn reads a point: in an octet string, as it should be, or bare.
func pointOn(params, point []byte) *ecdsa.PublicKey {
	curve := curveOf(params)
	if curve == nil {
		return nil
	}
	var wrapped []byte
	if rest, err := asn1.Unmarshal(point, &wrapped); err == nil && len(rest) == 0 {
		point = wrapped
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil
	}
	return pub
}
