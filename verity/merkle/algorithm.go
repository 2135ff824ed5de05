package merkle

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/blake2s"
)

// ErrAlgorithm says that a hash algorithm is not known by this name. Names are
// the kernel's and compared byte for byte: "SHA256" is not known.
var ErrAlgorithm = errors.New("unknown hash algorithm")

// constructors are the algorithms by the name that Linux has for them.
var constructors = map[string]func() hash.Hash{
	"sha1":        sha1.New,
	"sha224":      sha256.New224,
	"sha256":      sha256.New,
	"sha384":      sha512.New384,
	"sha512":      sha512.New,
	"sha3-224":    func() hash.Hash { return sha3.New224() },
	"sha3-256":    func() hash.Hash { return sha3.New256() },
	"sha3-384":    func() hash.Hash { return sha3.New384() },
	"sha3-512":    func() hash.Hash { return sha3.New512() },
	"blake2b-160": func() hash.Hash { return keyless(blake2b.New(20, nil)) },
	"blake2b-256": func() hash.Hash { return keyless(blake2b.New256(nil)) },
	"blake2b-384": func() hash.Hash { return keyless(blake2b.New384(nil)) },
	"blake2b-512": func() hash.Hash { return keyless(blake2b.New512(nil)) },
	"blake2s-256": func() hash.Hash { return keyless(blake2s.New256(nil)) },
}

// keyless drops the error of the BLAKE2 constructors, which only ever concerns
// the length of a key.
func keyless(h hash.Hash, _ error) hash.Hash { return h }

// NewHash returns the hash function that Linux knows by the name given. The
// error wraps ErrAlgorithm.
func NewHash(name string) (hash.Hash, error) {
	construct, ok := constructors[name]
	if !ok {
		return nil, fmt.Errorf("%w %q", ErrAlgorithm, name)
	}
	return construct(), nil
}

// Algorithms returns the names that NewHash knows, sorted.
func Algorithms() []string { return slices.Sorted(maps.Keys(constructors)) }
