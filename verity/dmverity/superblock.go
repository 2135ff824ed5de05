package dmverity

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/verity/merkle"
)

// SuperblockSize is the length of a superblock in bytes.
const SuperblockSize = 512

// The kernel takes no block smaller than a sector, and none larger than the largest page.
const (
	minBlockSize = sector
	maxBlockSize = 64 << 10
)

// MaxSaltSize is the longest salt, in bytes.
const MaxSaltSize = 256

// ErrSuperblock says that bytes are no superblock of version 1.
var ErrSuperblock = errors.New("not a dm-verity superblock")

// ErrParams says that dm-verity has no such parameters.
var ErrParams = errors.New("impossible dm-verity parameters")

// Hash types: where the salt goes and how digests lie in a hash block.
const (
	// HashTypeChromeOS hashes the salt after the block and packs digests.
	HashTypeChromeOS = 0
	// HashTypeNormal hashes the salt before the block and pads digests to a power of
	// two.
	HashTypeNormal = 1
)

// Where fields lie in a superblock. Numbers are little-endian.
const (
	atSignature     = 0
	atVersion       = 8
	atHashType      = 12
	atUUID          = 16
	atAlgorithm     = 32
	atDataBlockSize = 64
	atHashBlockSize = 68
	atDataBlocks    = 72
	atSaltSize      = 80
	atSaltPad       = 82
	atSalt          = 88
	atPad           = atSalt + MaxSaltSize

	signature         = "verity\x00\x00"
	superblockVersion = 1
)

// Superblock is the parameters of a volume. On disk it stands before the hash
// area, unless the volume has none.
type Superblock struct {
	UUID      UUID
	HashType  int    // HashTypeNormal or HashTypeChromeOS
	Algorithm string // by the kernel's name; see merkle.Algorithms
	// DataBlockSize and HashBlockSize are in bytes, powers of two from 512 to 65536.
	// Kernels take no data block larger than a page.
	DataBlockSize, HashBlockSize int
	// DataBlocks is the number of data blocks; 0 only as ParseSuperblock says.
	DataBlocks int64
	Salt       []byte
}

// Default returns the parameters that veritysetup(8) has when it is told nothing,
// without data, salt and UUID.
func Default() Superblock {
	return Superblock{HashType: HashTypeNormal, Algorithm: "sha256", DataBlockSize: 4096, HashBlockSize: 4096}
}

func (s Superblock) check() error {
	if s.HashType != HashTypeNormal && s.HashType != HashTypeChromeOS {
		return fmt.Errorf("%w: hash type %d, not %d or %d", ErrParams, s.HashType, HashTypeChromeOS, HashTypeNormal)
	}
	if len(s.Salt) > MaxSaltSize {
		return fmt.Errorf("%w: salt of %d bytes, more than %d", ErrParams, len(s.Salt), MaxSaltSize)
	}
	_, err := s.Tree()
	return err
}

// Tree returns the hash tree of the volume.
func (s Superblock) Tree() (*merkle.Tree, error) {
	p := merkle.Params{
		Algorithm:     s.Algorithm,
		DataBlockSize: s.DataBlockSize, HashBlockSize: s.HashBlockSize,
		Salt: s.Salt, SaltLast: s.HashType == HashTypeChromeOS, Packed: s.HashType == HashTypeChromeOS,
	}
	if s.DataBlocks <= 0 || s.DataBlockSize > 0 && s.DataBlocks > math.MaxInt64/int64(s.DataBlockSize) {
		return nil, fmt.Errorf("%w: %d data blocks", ErrParams, s.DataBlocks)
	}
	for what, size := range map[string]int{"data": s.DataBlockSize, "hash": s.HashBlockSize} {
		if size < minBlockSize || size > maxBlockSize || size&(size-1) != 0 {
			return nil, fmt.Errorf("%w: %s block size %d, not a power of two from %d to %d", ErrParams, what, size, minBlockSize, maxBlockSize)
		}
	}
	t, err := merkle.New(p, s.DataBlocks*int64(max(s.DataBlockSize, 0)))
	if errors.Is(err, merkle.ErrParams) {
		err = fmt.Errorf("%w: %w", ErrParams, err)
	}
	return t, err
}

// MarshalBinary returns the 512 bytes. Errors wrap ErrParams or
// merkle.ErrAlgorithm.
func (s Superblock) MarshalBinary() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("write superblock: %w", err)
	}
	b := make([]byte, SuperblockSize)
	copy(b[atSignature:], signature)
	binary.LittleEndian.PutUint32(b[atVersion:], superblockVersion)
	binary.LittleEndian.PutUint32(b[atHashType:], uint32(s.HashType))
	copy(b[atUUID:], s.UUID[:])
	copy(b[atAlgorithm:atDataBlockSize], s.Algorithm)
	binary.LittleEndian.PutUint32(b[atDataBlockSize:], uint32(s.DataBlockSize))
	binary.LittleEndian.PutUint32(b[atHashBlockSize:], uint32(s.HashBlockSize))
	binary.LittleEndian.PutUint64(b[atDataBlocks:], uint64(s.DataBlocks))
	binary.LittleEndian.PutUint16(b[atSaltSize:], uint16(len(s.Salt)))
	copy(b[atSalt:], s.Salt)
	return b, nil
}

// ParseSuperblock reads a superblock. It takes what veritysetup(8) takes: bytes that the
// format leaves unused may be anything, the algorithm may be in capitals, and there may be
// no data blocks, which stands for all that the data device has; see Volume.Of. Errors wrap
// ErrSuperblock, and merkle.ErrAlgorithm or ErrParams if a field holds what this package
// does not have.
func ParseSuperblock(b []byte) (Superblock, error) {
	s, err := parseSuperblock(b)
	if err != nil {
		return Superblock{}, fmt.Errorf("read superblock: %w: %w", ErrSuperblock, err)
	}
	return s, nil
}

func parseSuperblock(b []byte) (s Superblock, err error) {
	if len(b) != SuperblockSize {
		return s, fmt.Errorf("%d bytes instead of %d", len(b), SuperblockSize)
	}
	if string(b[:atVersion]) != signature {
		return s, errors.New("no signature")
	}
	if v := binary.LittleEndian.Uint32(b[atVersion:]); v != superblockVersion {
		return s, fmt.Errorf("version %d", v)
	}
	name, _, _ := bytes.Cut(b[atAlgorithm:atDataBlockSize], []byte{0})
	saltSize := int(binary.LittleEndian.Uint16(b[atSaltSize:]))
	if saltSize > MaxSaltSize {
		return s, fmt.Errorf("%w: salt of %d bytes", ErrParams, saltSize)
	}
	blocks := binary.LittleEndian.Uint64(b[atDataBlocks:])
	if blocks > math.MaxInt64 {
		return s, fmt.Errorf("%w: %d data blocks", ErrParams, blocks)
	}
	s = Superblock{
		UUID:          UUID(b[atUUID:atAlgorithm]),
		HashType:      int(binary.LittleEndian.Uint32(b[atHashType:])),
		Algorithm:     strings.ToLower(string(name)), // as the kernel has it
		DataBlockSize: int(binary.LittleEndian.Uint32(b[atDataBlockSize:])),
		HashBlockSize: int(binary.LittleEndian.Uint32(b[atHashBlockSize:])),
		DataBlocks:    int64(blocks),
		Salt:          append([]byte(nil), b[atSalt:atSalt+saltSize]...),
	}
	return s, s.some().check()
}

// some is the superblock with one data block if it says none, for checks of all else.
func (s Superblock) some() Superblock {
	if s.DataBlocks == 0 {
		s.DataBlocks = 1
	}
	return s
}

// ReadSuperblock reads the superblock at an offset of the hash device, in bytes,
// and returns the volume that it begins. Errors are those of ParseSuperblock, of
// reading, or wrap ErrParams for an offset that is no multiple of 512.
func ReadSuperblock(hashes io.ReaderAt, offset int64) (Volume, error) {
	if offset < 0 || offset%sector != 0 {
		return Volume{}, fmt.Errorf("read superblock: %w: hash offset %d, not a multiple of %d", ErrParams, offset, sector)
	}
	b := make([]byte, SuperblockSize)
	if n, err := hashes.ReadAt(b, offset); n < len(b) {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: the device ends %d bytes behind offset %d", ErrSuperblock, n, offset)
		}
		return Volume{}, fmt.Errorf("read superblock: %w", err)
	}
	s, err := ParseSuperblock(b)
	if err != nil {
		return Volume{}, err
	}
	v := Volume{Superblock: s, HashOffset: offset}
	if err := (Volume{Superblock: s.some(), HashOffset: offset}).check(); err != nil {
		return Volume{}, fmt.Errorf("read superblock: %w: %w", ErrSuperblock, err)
	}
	return v, nil
}

// clone keeps slices of a caller from changing.
func (s Superblock) clone() Superblock {
	s.Salt = slices.Clone(s.Salt)
	return s
}
