package fsverity

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/ipe-linux/ipe/digest"
)

// DescriptorSize is the length of a descriptor in bytes.
const DescriptorSize = 256

// ErrDescriptor says that bytes are no descriptor of version 1.
var ErrDescriptor = errors.New("not an fs-verity descriptor")

// Where fields lie in a descriptor. Numbers are little-endian.
const (
	atVersion   = 0
	atAlgorithm = 1
	atLogBlock  = 2
	atSaltSize  = 3
	atSigSize   = 4
	atDataSize  = 8
	atRootHash  = 16
	atSalt      = 80

	descriptorVersion = 1
)

// Descriptor is all that determines a file digest.
type Descriptor struct {
	Algorithm string // "sha256" or "sha512"
	BlockSize int
	Salt      []byte
	// FileSize is the length of the file in bytes.
	FileSize int64
	// RootHash is the root of the hash tree, all zeros for an empty file.
	RootHash []byte
}

func newDescriptor(p Params, size int64, root []byte) Descriptor {
	if root == nil {
		length, _ := digest.AlgorithmSize(p.Algorithm)
		root = make([]byte, length)
	}
	return Descriptor{Algorithm: p.Algorithm, BlockSize: p.BlockSize, Salt: slices.Clone(p.Salt), FileSize: size, RootHash: root}
}

// Params returns what the tree below the root was made with.
func (d Descriptor) Params() Params {
	return Params{Algorithm: d.Algorithm, BlockSize: d.BlockSize, Salt: slices.Clone(d.Salt)}
}

func (d Descriptor) check() error {
	p, err := d.Params().full()
	if err != nil {
		return err
	}
	if d.BlockSize == 0 || d.Algorithm == "" {
		return fmt.Errorf("%w: no algorithm or block size", ErrParams)
	}
	if d.FileSize < 0 {
		return fmt.Errorf("%w: file of %d bytes", ErrParams, d.FileSize)
	}
	if length, _ := digest.AlgorithmSize(p.Algorithm); len(d.RootHash) != length {
		return fmt.Errorf("%w: root hash of %d bytes, %s has %d", ErrParams, len(d.RootHash), d.Algorithm, length)
	}
	return nil
}

// MarshalBinary returns the 256 bytes. Errors wrap ErrParams.
func (d Descriptor) MarshalBinary() ([]byte, error) {
	b, err := d.marshal()
	if err != nil {
		return nil, err
	}
	return b[:], nil
}

func (d Descriptor) marshal() (b [DescriptorSize]byte, err error) {
	if err := d.check(); err != nil {
		return b, fmt.Errorf("write descriptor: %w", err)
	}
	number, _ := algorithmNumber(d.Algorithm)
	b[atVersion] = descriptorVersion
	b[atAlgorithm] = number
	b[atLogBlock] = uint8(bits.TrailingZeros(uint(d.BlockSize)))
	b[atSaltSize] = uint8(len(d.Salt))
	binary.LittleEndian.PutUint64(b[atDataSize:], uint64(d.FileSize))
	copy(b[atRootHash:], d.RootHash)
	copy(b[atSalt:], d.Salt)
	return b, nil
}

// ParseDescriptor reads a descriptor as MarshalBinary writes it, and as the kernel
// gives it (without a signature). What the format leaves unused must be zero.
// Errors wrap ErrDescriptor.
func ParseDescriptor(b []byte) (Descriptor, error) {
	d, err := parseDescriptor(b)
	if err != nil {
		return Descriptor{}, fmt.Errorf("read descriptor: %w: %w", ErrDescriptor, err)
	}
	return d, nil
}

func parseDescriptor(b []byte) (d Descriptor, err error) {
	if len(b) != DescriptorSize {
		return d, fmt.Errorf("%d bytes instead of %d", len(b), DescriptorSize)
	}
	if b[atVersion] != descriptorVersion {
		return d, fmt.Errorf("version %d", b[atVersion])
	}
	name, ok := algorithms[b[atAlgorithm]]
	if !ok {
		return d, fmt.Errorf("hash algorithm %d", b[atAlgorithm])
	}
	length, _ := digest.AlgorithmSize(name)
	if n := b[atLogBlock]; 1<<n < max(MinBlockSize, 2*length) || 1<<n > MaxBlockSize {
		return d, fmt.Errorf("block size 2^%d", n)
	}
	if n := b[atSaltSize]; n > MaxSaltSize {
		return d, fmt.Errorf("salt of %d bytes", n)
	}
	if n := binary.LittleEndian.Uint32(b[atSigSize:]); n != 0 {
		return d, fmt.Errorf("signature of %d bytes", n)
	}
	size := binary.LittleEndian.Uint64(b[atDataSize:])
	if size > math.MaxInt64 {
		return d, fmt.Errorf("file of %d bytes", size)
	}
	root, afterRoot := b[atRootHash:atRootHash+length], b[atRootHash+length:atSalt]
	salt, afterSalt := b[atSalt:atSalt+int(b[atSaltSize])], b[atSalt+int(b[atSaltSize]):]
	if !zero(afterRoot) || !zero(afterSalt) {
		return d, errors.New("unused bytes are not zero")
	}
	if size == 0 && !zero(root) {
		return d, errors.New("an empty file with a root hash")
	}
	return Descriptor{
		Algorithm: name, BlockSize: 1 << b[atLogBlock], Salt: append([]byte(nil), salt...),
		FileSize: int64(size), RootHash: slices.Clone(root),
	}, nil
}

func zero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// FileDigest returns the digest of the file that the descriptor describes. Errors
// wrap ErrParams.
func (d Descriptor) FileDigest() (digest.Digest, error) {
	b, err := d.marshal()
	if err != nil {
		return digest.Digest{}, err
	}
	if d.Algorithm == "sha512" {
		sum := sha512.Sum512(b[:])
		return digest.New(d.Algorithm, sum[:]), nil
	}
	sum := sha256.Sum256(b[:])
	return digest.New(d.Algorithm, sum[:]), nil
}
