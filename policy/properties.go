package policy

import (
	"bytes"
	"encoding/hex"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/policy/internal/lex"
)

var (
	equals = []byte{'='}
	colon  = []byte{':'}
)

// operation returns the operation that tok names in full, or OpUnknown.
func operation(tok []byte) Op {
	if key, value, _ := bytes.Cut(tok, equals); string(key) == lex.KeyOp {
		for op, name := range opNames[:numOps] {
			if string(value) == name {
				return Op(op)
			}
		}
	}
	return OpUnknown
}

// action returns the action that tok names in full, or NoAction.
func action(tok []byte) Action {
	if key, value, ok := bytes.Cut(tok, equals); ok && string(key) == lex.KeyAction {
		for _, a := range [...]Action{Allow, Deny} {
			if string(value) == actionNames[a] {
				return a
			}
		}
	}
	return NoAction
}

// lookupKey returns the property named name.
func lookupKey(name []byte) (Key, bool) {
	for k, s := range keyNames {
		if string(name) == s {
			return Key(k), true
		}
	}
	return 0, false
}

// property parses a key=value test.
func (p *parser) property(tok []byte) (Property, *SyntaxError) {
	name, value, ok := bytes.Cut(tok, equals)
	key, known := lookupKey(name)
	if !known || !ok {
		return Property{}, explainProperty(tok)
	}
	if key.IsDigest() {
		d, err := p.digest(value)
		return Property{Key: key, Digest: d}, err
	}
	switch string(value) {
	case lex.True:
		return Property{Key: key, Value: true}, nil
	case lex.False:
		return Property{Key: key}, nil
	}
	return Property{}, explainProperty(tok)
}

// digest parses alg:hex. It does what digest.Parse does, from bytes, and shares
// the algorithm's name among digests that follow each other.
func (p *parser) digest(value []byte) (digest.Digest, *SyntaxError) {
	alg, digits, ok := bytes.Cut(value, colon)
	if !ok {
		return digest.Digest{}, explainNoColon(value)
	}
	p.sum = append(p.sum[:0], digits...)
	n, err := hex.Decode(p.sum, p.sum)
	if err != nil {
		return digest.Digest{}, explainHex(digits)
	}
	if string(alg) != p.alg {
		p.alg = string(alg)
	}
	return digest.New(p.alg, p.sum[:n]), nil
}
