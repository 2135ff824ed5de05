package sign

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

// Attributes of RFC 5652, section 11, RFC 8551 and Authenticode.
var (
	oidContentType       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidSMIMECapabilities = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 15}
	oidSpOpusInfo        = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 12}
	oidStatementType     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 11}
)

// attributes are a signer's signed attributes.
type attributes struct {
	// set is what the signature covers: the attributes encoded as a SET OF.
	set []byte
	// types are those of the attributes, in their order.
	types         []asn1.ObjectIdentifier
	messageDigest []byte
	// signingTime is zero if there is none.
	signingTime time.Time
}

// readAttributes returns nil if there are none. A known attribute may occur once
// and with one value, otherwise the message is rejected; unknown ones are ignored.
func (m *message) readAttributes(in *cryptobyte.String) (*attributes, error) {
	if !in.PeekASN1Tag(tag0) {
		return nil, nil
	}
	var element, list cryptobyte.String
	if !in.ReadASN1Element(&element, tag0) {
		return nil, malformed("signed attributes")
	}
	a := &attributes{set: append([]byte{}, element...)}
	a.set[0] = byte(tag.SET)
	element.ReadASN1(&list, tag0)
	seen := map[string]bool{}
	for !list.Empty() {
		err := a.readAttribute(&list, m.contentType, seen)
		if err = m.tolerate(err); err != nil {
			return nil, fmt.Errorf("signed attribute: %w", err)
		}
	}
	if !seen[oidMessageDigest.String()] {
		err := fmt.Errorf("signed attributes without message digest: %w", ErrRejected)
		if err = m.tolerate(err); err != nil {
			return nil, err
		}
	}
	if !seen[oidContentType.String()] {
		return nil, malformed("signed attributes without content type")
	}
	return a, nil
}

// tolerate keeps the first refusal of a well-formed attribute for later if m is
// read tolerantly. Any other error it returns.
func (m *message) tolerate(err error) error {
	if !m.tolerant || !errors.Is(err, ErrRejected) {
		return err
	}
	if m.refused == nil {
		m.refused = err
	}
	return nil
}

func (a *attributes) readAttribute(in *cryptobyte.String, contentType asn1.ObjectIdentifier, seen map[string]bool) error {
	var pair, values cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1(&pair, tag.SEQUENCE) || !pair.ReadASN1ObjectIdentifier(&oid) ||
		!pair.ReadASN1(&values, tag.SET) || !pair.Empty() {
		return malformed("not a type with a set of values")
	}
	a.types = append(a.types, oid)
	for !values.Empty() {
		var value cryptobyte.String
		var kind tag.Tag
		if !values.ReadAnyASN1Element(&value, &kind) {
			return malformed("value of %v", oid)
		}
		if seen[oid.String()] && isKnownAttribute(oid) {
			return fmt.Errorf("%v twice: %w", oid, ErrRejected)
		}
		seen[oid.String()] = true
		if err := a.readValue(oid, value, contentType); err != nil {
			return err
		}
	}
	return nil
}

func isKnownAttribute(oid asn1.ObjectIdentifier) bool {
	return oid.Equal(oidContentType) || oid.Equal(oidMessageDigest) || oid.Equal(oidSigningTime)
}

func (a *attributes) readValue(oid asn1.ObjectIdentifier, value cryptobyte.String, contentType asn1.ObjectIdentifier) error {
	switch {
	case oid.Equal(oidContentType):
		return checkContentType(value, contentType)
	case oid.Equal(oidMessageDigest):
		if !value.ReadASN1Bytes(&a.messageDigest, tag.OCTET_STRING) {
			return malformed("message digest")
		}
	case oid.Equal(oidSigningTime):
		return a.readSigningTime(value)
	case oid.Equal(oidSMIMECapabilities):
		return fmt.Errorf("S/MIME capabilities (sign with -nosmimecap or -noattr): %w", ErrRejected)
	case oid.Equal(oidSpOpusInfo), oid.Equal(oidStatementType):
		return fmt.Errorf("%v belongs to Authenticode: %w", oid, ErrRejected)
	}
	return nil
}

func checkContentType(value cryptobyte.String, want asn1.ObjectIdentifier) error {
	var got asn1.ObjectIdentifier
	if !value.ReadASN1ObjectIdentifier(&got) {
		return malformed("content type")
	}
	if !got.Equal(want) {
		return malformed("content type %v in a message of %v", got, want)
	}
	return nil
}

func (a *attributes) readSigningTime(value cryptobyte.String) error {
	if value.PeekASN1Tag(tag.UTCTime) {
		if !value.ReadASN1UTCTime(&a.signingTime) {
			return malformed("signing time")
		}
		return nil
	}
	if !value.ReadASN1GeneralizedTime(&a.signingTime) {
		return malformed("signing time")
	}
	return nil
}
