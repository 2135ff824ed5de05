// Package merkle is the hash tree that dm-verity and fs-verity share: data is cut
// into blocks, each block is hashed, the digests are put into hash blocks, and
// those are hashed again, until one digest is left, the root. Who has the root
// can check any block with a few others.
//
// Params say how: algorithm, block sizes, salt, and how digests lie in a hash
// block. With the size of the data they make a Tree, which is geometry alone.
// Tree.Build computes the root and, if wanted, all hash blocks; Tree.Verify finds
// every block that is not what it should be; Tree.VerifyBlock checks one, as the
// kernel does when it reads. A Writer computes the root of what is written to it.
//
// Building and verifying use all processors, hash two blocks of SHA-256 at once
// where that helps, keep less than 16 MiB in memory whatever the size, stop when
// their context ends, and hash blocks of zeros once. The package opens no files: it
// reads from io.ReaderAt or io.Reader and writes to io.WriterAt.
//
// All sizes and offsets are in bytes unless they are called blocks. Formats built
// on this are in the packages dmverity and fsverity beside it.
//
// Stability: this is version 0. Roots and hash blocks are given by the formats and stay. Names
// of this package may still change.
package merkle
