package dmverity

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
)

// UUID names a volume. It is not part of what the root hash covers.
type UUID [16]byte

// NewUUID returns a random UUID (version 4).
func NewUUID() UUID {
	var u UUID
	_, _ = rand.Read(u[:]) // never fails
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

// ParseUUID reads 8-4-4-4-12 hex digits. Errors wrap ErrParams.
func ParseUUID(s string) (UUID, error) {
	parts := strings.Split(s, "-")
	for i, n := range []int{8, 4, 4, 4, 12} {
		if len(parts) != 5 || len(parts[i]) != n {
			return UUID{}, fmt.Errorf("%w: UUID %q, not in groups of 8-4-4-4-12 hex digits", ErrParams, s)
		}
	}
	b, err := hex.DecodeString(strings.Join(parts, ""))
	if err != nil {
		return UUID{}, fmt.Errorf("%w: UUID %q, not in groups of 8-4-4-4-12 hex digits", ErrParams, s)
	}
	return UUID(b), nil
}

// String returns the UUID as ParseUUID reads it, in lower case.
func (u UUID) String() string {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// DefaultSaltSize is the length of a random salt in bytes.
const DefaultSaltSize = 32

// NewSalt returns a random salt of the usual length.
func NewSalt() []byte {
	b := make([]byte, DefaultSaltSize)
	_, _ = rand.Read(b) // never fails
	return b
}
