package lint

import (
	"fmt"
	"strings"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/policy/internal/lex"
)

// condition is what a rule tests, without order and repetition.
type condition struct {
	op             policy.Op
	keys           policy.KeySet // what is tested
	values         policy.KeySet // the booleans that must be TRUE
	root, fileHash digest.Digest
}

// conditionOf returns what r tests; ok is false if that can never be true, as
// one key is wanted to have two values.
func conditionOf(r *policy.Rule) (c condition, ok bool) {
	c.op, ok = r.Op, true
	for _, prop := range r.Properties {
		before, seen := c, c.keys.Has(prop.Key)
		c.set(prop)
		ok = ok && (!seen || c == before)
	}
	return c, ok
}

func (c *condition) set(p policy.Property) {
	bit := policy.Keys(p.Key)
	c.keys |= bit
	c.values &^= bit
	switch {
	case p.Key == policy.DMVerityRoothash:
		c.root = p.Digest
	case p.Key == policy.FSVerityDigest:
		c.fileHash = p.Digest
	case p.Value:
		c.values |= bit
	}
}

// only returns the condition restricted to the given keys.
func (c condition) only(keys policy.KeySet) condition {
	c.keys = keys
	c.values &= keys
	if !keys.Has(policy.DMVerityRoothash) {
		c.root = digest.Digest{}
	}
	if !keys.Has(policy.FSVerityDigest) {
		c.fileHash = digest.Digest{}
	}
	return c
}

func hasDigest(s policy.KeySet) bool {
	return s.Has(policy.DMVerityRoothash) || s.Has(policy.FSVerityDigest)
}

// neverMatches says why no file has the digest that p asks for; nothing if one can have it.
func neverMatches(p policy.Property) (Code, string) {
	if !p.Key.IsDigest() {
		return "", ""
	}
	alg := p.Digest.Algorithm()
	size, known := digest.AlgorithmSize(alg)
	_, lower := digest.AlgorithmSize(strings.ToLower(alg))
	switch {
	case !known && lower:
		return AlgorithmCase, fmt.Sprintf("the algorithm %s is written %s", lex.Quote(alg), strings.ToLower(alg))
	case !known:
		return UnknownAlgorithm, fmt.Sprintf("no kernel names an algorithm %s", lex.Quote(alg))
	case p.Key == policy.FSVerityDigest && alg != "sha256" && alg != "sha512":
		return FSVerityAlgorithm, "fs-verity has only sha256 and sha512"
	case p.Digest.Size() != size:
		return DigestSize, fmt.Sprintf("%s has %d bytes, the digest has %d", alg, size, p.Digest.Size())
	}
	return "", ""
}
