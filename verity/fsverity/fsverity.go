// Package fsverity computes what the kernel's fs-verity measures: the file digest,
// which IPE policies name as fsverity_digest, and what lies behind it.
//
// A file is cut into blocks, over which stands a hash tree (package merkle). The
// root of that tree, the file's size and the parameters make up the Descriptor of
// 256 bytes, and its hash is the file digest. So the file digest is not the root
// hash, and the same content has another digest with another block size, salt or
// algorithm.
//
// FileDigest measures a file on all processors; a Writer measures what is written
// to it; Build also writes the tree. What a built-in signature covers is made by
// FormattedDigest, for package sign. The results are, byte for byte, those of
// fsverity(1) and of the kernel.
//
// The format is that of Documentation/filesystems/fsverity.rst in the kernel's
// sources, with descriptor version 1. Sizes are in bytes. The package opens no
// files; internal/linux/fsioctl enables and measures in the kernel.
//
// Stability: this is version 0. Digests and descriptors are the kernel's and stay. Names of
// this package may still change.
package fsverity

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// Limits and defaults of the format.
const (
	// MinBlockSize and MaxBlockSize bound the block size, a power of two, in which
	// there must be room for two digests. fsverity(1) has the same minimum.
	MinBlockSize = merkle.MinBlockSize
	MaxBlockSize = merkle.MaxBlockSize
	// MinKernelBlockSize and MaxKernelBlockSize are the bounds with which some kernel
	// enables fs-verity: from what fs/verity/open.c asks for to the largest page. One
	// kernel takes no more than its page size and the file system's block size.
	MinKernelBlockSize = 1 << 10
	MaxKernelBlockSize = 64 << 10
	// MaxSaltSize bounds the salt.
	MaxSaltSize = 32

	DefaultAlgorithm = "sha256"
	DefaultBlockSize = 4096
)

// ErrParams says that fs-verity has no such parameters.
var ErrParams = errors.New("impossible fs-verity parameters")

// Params are what one may choose. The zero Params are the defaults of fsverity(1).
type Params struct {
	// Algorithm is "sha256" or "sha512"; "" stands for DefaultAlgorithm.
	Algorithm string
	// BlockSize is that of data and hash blocks; 0 stands for DefaultBlockSize.
	BlockSize int
	// Salt is hashed before each block.
	Salt []byte
}

// algorithms have numbers in the format.
var algorithms = map[uint8]string{1: "sha256", 2: "sha512"}

// algorithmNumber is the way back; ok is false for what fs-verity does not have.
func algorithmNumber(name string) (n uint8, ok bool) {
	for n, a := range algorithms {
		if a == name {
			return n, true
		}
	}
	return 0, false
}

// full replaces what stands for a default, and checks the rest.
func (p Params) full() (Params, error) {
	if p.Algorithm == "" {
		p.Algorithm = DefaultAlgorithm
	}
	if p.BlockSize == 0 {
		p.BlockSize = DefaultBlockSize
	}
	if _, ok := algorithmNumber(p.Algorithm); !ok {
		return p, fmt.Errorf("%w: hash algorithm %q, not sha256 or sha512", ErrParams, p.Algorithm)
	}
	length, _ := digest.AlgorithmSize(p.Algorithm)
	if least := max(MinBlockSize, 2*length); p.BlockSize < least || p.BlockSize > MaxBlockSize || p.BlockSize&(p.BlockSize-1) != 0 {
		return p, fmt.Errorf("%w: block size %d, not a power of two from %d to %d", ErrParams, p.BlockSize, least, MaxBlockSize)
	}
	if len(p.Salt) > MaxSaltSize {
		return p, fmt.Errorf("%w: salt of %d bytes, more than %d", ErrParams, len(p.Salt), MaxSaltSize)
	}
	return p, nil
}

// merkle expects full parameters. The salt is filled up with zeros to a block of
// the hash function.
func (p Params) merkle() (merkle.Params, error) {
	m := merkle.Params{Algorithm: p.Algorithm, DataBlockSize: p.BlockSize, HashBlockSize: p.BlockSize}
	if len(p.Salt) == 0 {
		return m, nil
	}
	h, err := merkle.NewHash(p.Algorithm)
	if err != nil {
		return m, err
	}
	m.Salt = make([]byte, h.BlockSize())
	copy(m.Salt, p.Salt)
	return m, nil
}

// Tree returns the hash tree over a file of size bytes, at least one, for those
// who want to verify single blocks. Its root is Descriptor.RootHash.
func (p Params) Tree(size int64) (*merkle.Tree, error) {
	p, err := p.full()
	if err != nil {
		return nil, err
	}
	m, err := p.merkle()
	if err != nil {
		return nil, err
	}
	return merkle.New(m, size)
}

// FileDigest measures a file of size bytes, which may be 0. Errors wrap ErrParams
// or are those of reading; io.ErrUnexpectedEOF means that the file ended before.
func FileDigest(ctx context.Context, file io.ReaderAt, size int64, p Params, opts merkle.Options) (digest.Digest, error) {
	d, err := Build(ctx, file, size, nil, p, opts)
	if err != nil {
		return digest.Digest{}, err
	}
	return d.FileDigest()
}

// Build measures a file as FileDigest does, and writes its hash tree to out, the
// root's level first, if out is not nil. A file of one block has no tree.
func Build(ctx context.Context, file io.ReaderAt, size int64, out io.WriterAt, p Params, opts merkle.Options) (Descriptor, error) {
	d, err := build(ctx, file, size, out, p, opts)
	if err != nil {
		return Descriptor{}, fmt.Errorf("measure file: %w", err)
	}
	return d, nil
}

func build(ctx context.Context, file io.ReaderAt, size int64, out io.WriterAt, p Params, opts merkle.Options) (Descriptor, error) {
	p, err := p.full()
	if err != nil {
		return Descriptor{}, err
	}
	if size < 0 {
		return Descriptor{}, fmt.Errorf("%w: file of %d bytes", ErrParams, size)
	}
	if size == 0 {
		return newDescriptor(p, 0, nil), nil
	}
	tree, err := p.Tree(size)
	if err != nil {
		return Descriptor{}, err
	}
	root, err := tree.Build(ctx, file, out, opts)
	if err != nil {
		return Descriptor{}, err
	}
	return newDescriptor(p, size, root), nil
}

// Writer measures what is written to it. It keeps a few blocks in memory.
type Writer struct {
	params Params
	tree   *merkle.Writer
}

// NewWriter returns a Writer. Errors wrap ErrParams.
func NewWriter(p Params) (*Writer, error) {
	p, err := p.full()
	if err != nil {
		return nil, err
	}
	m, err := p.merkle()
	if err != nil {
		return nil, err
	}
	w, err := merkle.NewWriter(m)
	if err != nil {
		return nil, err
	}
	return &Writer{params: p, tree: w}, nil
}

// Write takes the next bytes of the file. It never fails.
func (w *Writer) Write(p []byte) (int, error) { return w.tree.Write(p) }

// Reset begins another file with the same parameters.
func (w *Writer) Reset() { w.tree.Reset() }

// Descriptor ends the file. Nothing may be written after it, but after Reset.
func (w *Writer) Descriptor() Descriptor {
	root, size := w.tree.Root()
	return newDescriptor(w.params, size, root)
}

// FileDigest is that of Descriptor. Nothing may be written after it, but after
// Reset.
func (w *Writer) FileDigest() (digest.Digest, error) { return w.Descriptor().FileDigest() }
