// Package digest holds the one value that IPE policies, dm-verity volumes and
// fs-verity files share: an algorithm name and the bytes it produced, written
// "sha256:cd2c…".
//
// A Digest is compared as the kernel compares it (security/ipe/digest.c): equal
// length, equal algorithm name byte for byte, equal bytes. Nothing is
// normalised and an algorithm is not checked against a length, because the
// kernel does neither: "SHA256:ab" is a valid literal that never matches.
//
// Stability: this is version 0. The literals that are taken and refused, and what is equal,
// stay. Names of this package may still change.
package digest

import (
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ErrNoColon says that a literal has no ':' between algorithm and hex.
var ErrNoColon = errors.New("no colon between algorithm and hex digits")

// ErrHex says that the part behind the colon is not an even number of hex digits.
var ErrHex = errors.New("not an even number of hex digits")

// Digest is an algorithm name with the bytes it produced. It is comparable and
// may key a map. The zero Digest stands for "no digest" in evidence.
type Digest struct {
	alg string
	sum string
}

// New returns the digest sum of the algorithm alg. The name is kept as given.
func New(alg string, sum []byte) Digest {
	return Digest{alg: alg, sum: string(sum)}
}

// Parse reads "alg:hex", split at the first colon. The algorithm may be any
// string, even an empty one, and the hex any even number of digits of either
// case. Errors wrap ErrNoColon or ErrHex.
func Parse(s string) (Digest, error) {
	alg, digits, ok := strings.Cut(s, ":")
	if !ok {
		return Digest{}, fmt.Errorf("digest %q: %w", s, ErrNoColon)
	}
	sum, err := hex.DecodeString(digits)
	if err != nil {
		return Digest{}, fmt.Errorf("digest %q: %w", s, ErrHex)
	}
	return New(alg, sum), nil
}

// Algorithm returns the algorithm's name as written.
func (d Digest) Algorithm() string { return d.alg }

// Bytes returns a copy of the digest's bytes.
func (d Digest) Bytes() []byte { return []byte(d.sum) }

// Size returns the number of bytes.
func (d Digest) Size() int { return len(d.sum) }

// IsZero reports whether d is the zero Digest, which stands for "none".
func (d Digest) IsZero() bool { return d == Digest{} }

// Equal reports whether both name and bytes are the same, in time that depends
// on their lengths only.
func (d Digest) Equal(e Digest) bool {
	alg := subtle.ConstantTimeCompare([]byte(d.alg), []byte(e.alg))
	sum := subtle.ConstantTimeCompare([]byte(d.sum), []byte(e.sum))
	return alg&sum == 1
}

// String returns "alg:hex" with lower-case digits, as fsverity(1) prints it.
func (d Digest) String() string { return d.alg + ":" + hex.EncodeToString([]byte(d.sum)) }

// MarshalText implements [encoding.TextMarshaler]. The zero Digest is nothing.
func (d Digest) MarshalText() ([]byte, error) {
	if d.IsZero() {
		return nil, nil
	}
	return []byte(d.String()), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]; see [Parse].
func (d *Digest) UnmarshalText(text []byte) (err error) {
	if *d = (Digest{}); len(text) > 0 {
		*d, err = Parse(string(text))
	}
	return err
}

// sizes is the algorithm table: those that Linux offers for dm-verity or
// fs-verity and that an IPE policy may sensibly name, with their bytes.
var sizes = map[string]int{
	"sha1": 20, "sha224": 28, "sha256": 32, "sha384": 48, "sha512": 64,
	"sha3-256": 32, "sha3-384": 48, "sha3-512": 64,
	"blake2b-256": 32, "blake2b-512": 64, "sm3": 32, "streebog256": 32, "streebog512": 64,
}

// AlgorithmSize returns the number of bytes that the named algorithm produces;
// ok is false for a name that no kernel gives to a verity digest.
func AlgorithmSize(alg string) (size int, ok bool) {
	size, ok = sizes[alg]
	return size, ok
}
