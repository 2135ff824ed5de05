package sign

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"fmt"
	"slices"
)

// Detach takes content and signatures of a message apart, for a verifier that wants
// them so: apart is the message without its content, otherwise as it was. It verifies
// nothing. It reads BER as the kernel does, and so more than [Verify] takes; signers
// and certificates are described as far as this package can read them. Errors wrap
// ErrMalformed, ErrTooLong, ErrUnsupportedForm, ErrNoContent, or ErrRejected for
// content in pieces.
func Detach(message []byte) (e *Envelope, apart []byte, err error) {
	content, apart, err := detach(message)
	if err != nil {
		return nil, nil, fmt.Errorf("take message apart: %w", err)
	}
	if e, err = Inspect(message); err != nil {
		e = &Envelope{SHA256: sha256.Sum256(message)}
	}
	e.Content, e.Refused = content, nil
	return e, apart, nil
}

func detach(message []byte) (content, apart []byte, err error) {
	if len(message) > MaxLen {
		return nil, nil, fmt.Errorf("%d bytes, at most %d: %w", len(message), MaxLen, ErrTooLong)
	}
	r := berReader{rest: message}
	outer := r.enter(berSequence)
	head := outer.raw()
	if r.err == nil && outer.err == nil && !bytes.Equal(head, oidBytes(oidSignedData)) {
		return nil, nil, fmt.Errorf("message is not SignedData: %w", ErrUnsupportedForm)
	}
	explicit := outer.enter(berTag0)
	data := explicit.enter(berSequence)
	before := slices.Concat(data.raw(), data.raw()) // version, digest algorithms
	info := data.enter(berSequence)
	kind := info.raw()
	switch {
	case info.err != nil || data.err != nil:
		return nil, nil, malformed("no way to the content")
	case !bytes.Equal(kind, oidBytes(oidData)):
		return nil, nil, fmt.Errorf("content is not pkcs7-data: %w", ErrUnsupportedForm)
	case len(info.rest) == 0:
		return nil, nil, ErrNoContent
	}
	if content, err = info.content(); err != nil {
		return nil, nil, err
	}
	whole := wrap(berSequence, before, wrap(berSequence, kind), data.rest)
	return content, wrap(berSequence, head, wrap(berTag0, whole)), nil
}

// content reads the content behind its explicit tag.
func (r *berReader) content() ([]byte, error) {
	explicit := r.enter(berTag0)
	kind, content, definite := explicit.next()
	switch {
	case r.err != nil || explicit.err != nil || kind == berEnd:
		return nil, malformed("content")
	case !definite:
		return nil, fmt.Errorf("content is in pieces (sign it without -stream): %w", ErrRejected)
	}
	return bytes.Clone(content), nil
}

// wrap returns an element around what follows one another.
func wrap(kind byte, parts ...[]byte) []byte {
	content := slices.Concat(parts...)
	switch n := len(content); {
	case n < berIndefinite:
		return append([]byte{kind, byte(n)}, content...)
	case n < 1<<8:
		return append([]byte{kind, berIndefinite | 1, byte(n)}, content...)
	default: // messages are below 1<<16
		return append([]byte{kind, berIndefinite | 2, byte(n >> 8), byte(n)}, content...)
	}
}

// oidBytes is an identifier as it stands in a message: there is one way only.
func oidBytes(oid asn1.ObjectIdentifier) []byte {
	b, _ := asn1.Marshal(oid) // those of this package can be
	return b
}

// Tags of BER.
const (
	berEnd      = 0x00
	berSequence = 0x30
	berTag0     = 0xa0

	berConstructed = 0x20
	berLongTag     = 0x1f
	berIndefinite  = 0x80
)

// maxNesting bounds elements of indefinite length within each other; beyond what the
// kernel's decoder follows.
const maxNesting = 32

// berReader reads elements one after the other. After an error it reads nothing.
type berReader struct {
	rest []byte
	err  error
}

// enter returns a reader of the content of the next element, which must be of that kind.
func (r *berReader) enter(want byte) berReader {
	kind, content, _ := r.next()
	if r.err == nil && kind != want {
		r.err = ErrMalformed
	}
	return berReader{rest: content, err: r.err}
}

// raw reads one element whole.
func (r *berReader) raw() []byte {
	all := r.rest
	r.next()
	if r.err != nil {
		return nil
	}
	return all[:len(all)-len(r.rest)]
}

// next reads one element and gives its kind and content, and whether its length was
// said before it.
func (r *berReader) next() (kind byte, content []byte, definite bool) {
	if r.err != nil {
		return 0, nil, false
	}
	e, ok := element(r.rest, maxNesting)
	if !ok {
		r.err = ErrMalformed
		return 0, nil, false
	}
	content = r.rest[e.head : len(r.rest)-e.behind]
	kind, r.rest = r.rest[0], r.rest[len(r.rest)-e.behind+e.foot:]
	return kind, content, e.foot == 0
}

// span says where an element's content is: behind a head, before what is behind. A
// foot of that begins with the mark that ends an indefinite length.
type span struct{ head, behind, foot int }

func element(b []byte, depth int) (span, bool) {
	if len(b) < 2 || depth == 0 || b[0]&berLongTag == berLongTag {
		return span{}, false
	}
	if b[1] == berIndefinite {
		return indefinite(b, depth)
	}
	size, head := int(b[1]), 2
	if size > berIndefinite {
		n := size - berIndefinite
		if n > maxLengthBytes-1 || len(b) < head+n {
			return span{}, false
		}
		size = 0
		for _, c := range b[head : head+n] {
			size = size<<8 | int(c)
		}
		head += n
	}
	behind := len(b) - head - size
	return span{head: head, behind: behind}, behind >= 0
}

// indefinite finds the end of an element that says it only there.
func indefinite(b []byte, depth int) (span, bool) {
	const head, foot = 2, 2
	if b[0]&berConstructed == 0 {
		return span{}, false
	}
	rest := b[head:]
	for len(rest) >= foot && rest[0] != berEnd {
		e, ok := element(rest, depth-1)
		if !ok {
			return span{}, false
		}
		rest = rest[len(rest)-e.behind+e.foot:]
	}
	if len(rest) < foot || rest[1] != 0 {
		return span{}, false
	}
	return span{head: head, behind: len(rest), foot: foot}, true
}
