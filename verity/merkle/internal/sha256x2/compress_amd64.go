//go:build !purego

package sha256x2

import "crypto/fips140"

// compress2 compresses so many blocks of BlockSize bytes from p on into a, and as
// many from q on into b. It must not be called unless available says so.
//
//go:noescape
func compress2(a, b *state, p, q *byte, blocks int)

// cpuid asks the processor what it is.
func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)

// Bits of CPUID, by the Intel SDM, volume 2, CPUID.
const (
	leafFeatures = 1 // in ECX:
	bitSSSE3     = 1 << 9

	leafExtended = 7 // in EBX:
	bitSHA       = 1 << 29
)

// available reports whether the instructions are there and may be used.
func available() bool {
	return hasSHA() && !fips140.Enabled()
}

// hasSHA looks for SHA256RNDS2 and its kin, and for PSHUFB and PALIGNR, which are of
// SSSE3. The registers are those of SSE, which every system saves.
func hasSHA() bool {
	if highest, _, _, _ := cpuid(0, 0); highest < leafExtended {
		return false
	}
	_, _, old, _ := cpuid(leafFeatures, 0)
	_, extended, _, _ := cpuid(leafExtended, 0)
	return old&bitSSSE3 != 0 && extended&bitSHA != 0
}
