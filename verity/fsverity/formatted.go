package fsverity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/ipe-linux/ipe/digest"
)

// ErrFormatted says that bytes are no digest in one of the kernel's forms.
var ErrFormatted = errors.New("not a formatted fs-verity digest")

// magic begins what a built-in signature covers.
const magic = "FSVerity"

// MeasuredDigest returns struct fsverity_digest as the kernel's measure ioctl
// gives it: number of the algorithm, length, digest. Errors wrap ErrParams.
func MeasuredDigest(d digest.Digest) ([]byte, error) { return format("", d) }

// FormattedDigest returns struct fsverity_formatted_digest, the content of a
// built-in signature: "FSVerity", then as MeasuredDigest. Errors wrap ErrParams.
func FormattedDigest(d digest.Digest) ([]byte, error) { return format(magic, d) }

func format(prefix string, d digest.Digest) ([]byte, error) {
	number, ok := algorithmNumber(d.Algorithm())
	if !ok {
		return nil, fmt.Errorf("format digest: %w: hash algorithm %q, not sha256 or sha512", ErrParams, d.Algorithm())
	}
	if size, _ := digest.AlgorithmSize(d.Algorithm()); d.Size() != size {
		return nil, fmt.Errorf("format digest: %w: digest of %d bytes, %s has %d", ErrParams, d.Size(), d.Algorithm(), size)
	}
	b := []byte(prefix)
	b = binary.LittleEndian.AppendUint16(b, uint16(number))
	b = binary.LittleEndian.AppendUint16(b, uint16(d.Size()))
	return append(b, d.Bytes()...), nil
}

// ParseMeasuredDigest reads what MeasuredDigest writes. Errors wrap ErrFormatted.
func ParseMeasuredDigest(b []byte) (digest.Digest, error) { return parseFormatted("", b) }

// ParseFormattedDigest reads what FormattedDigest writes. Errors wrap
// ErrFormatted.
func ParseFormattedDigest(b []byte) (digest.Digest, error) { return parseFormatted(magic, b) }

func parseFormatted(prefix string, b []byte) (digest.Digest, error) {
	rest, ok := strings.CutPrefix(string(b), prefix)
	if !ok || len(rest) < 4 {
		return digest.Digest{}, fmt.Errorf("%w: no header", ErrFormatted)
	}
	number, size := binary.LittleEndian.Uint16([]byte(rest)), binary.LittleEndian.Uint16([]byte(rest[2:]))
	name, ok := algorithms[uint8(number)]
	if !ok || number > 0xff {
		return digest.Digest{}, fmt.Errorf("%w: hash algorithm %d", ErrFormatted, number)
	}
	sum := rest[4:]
	if want, _ := digest.AlgorithmSize(name); len(sum) != want || int(size) != want {
		return digest.Digest{}, fmt.Errorf("%w: digest of %d bytes that claims %d, %s has %d", ErrFormatted, len(sum), size, name, want)
	}
	return digest.New(name, []byte(sum)), nil
}
