// Package roothash reads root hashes of dm-verity volumes that come with a signature,
// by the names that systemd gives to both: NAME.roothash is the hash in hex, and
// NAME.roothash.p7s the PKCS#7 signature of these digits, detached, in DER, as
// veritysetup takes it, too. Who may sign is for the caller to say.
//
// The algorithm is sha256, veritysetup's own choice, unless the digits have the name
// of another one and a colon before them, which are not signed.
package roothash

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/ownership"
)

// Endings of names. The signature's is added to that of what it signs.
const (
	hashSuffix      = ".roothash"
	signatureSuffix = ".p7s"
)

// The sizes of files, in bytes, beyond which nobody reads on: a root hash is 128 digits
// at most, a signature what the kernel takes.
const (
	maxHash      = 1 << 10
	maxSignature = 1 << 16
)

const defaultAlgorithm = "sha256"

// ErrSize says that a hash is not of its algorithm's size, or the algorithm unknown.
var ErrSize = errors.New("not a root hash of its algorithm's size")

// ErrPath says that a whole path could not be read, and not that a signature is missing
// or bad.
var ErrPath = errors.New("path cannot be read")

// ErrText says that a file is none of a root hash.
var ErrText = errors.New("not a file of a root hash")

// Verify returns nil if message is a detached signature on content by somebody
// trusted.
type Verify func(message, content []byte) error

// Read returns the root hashes whose signatures verify. A path is that of the hash, of
// its signature, or of a directory, in which each file with a signature counts. What is
// wrong with one costs only that one. One that others than root can change does not
// count, for they could put the signed hash of an older volume there. A path that cannot
// be read at all is a problem that wraps ErrPath.
func Read(paths []string, verify Verify) (roots []digest.Digest, problems []error) {
	for _, path := range paths {
		names, err := signed(path)
		if err != nil {
			problems = append(problems, fmt.Errorf("root hash: %w: %w", ErrPath, err))
		}
		for _, name := range names {
			d, err := read(name, verify)
			if err != nil {
				problems = append(problems, fmt.Errorf("root hash %s: %w", name, err))
				continue
			}
			roots = append(roots, d)
		}
	}
	return roots, problems
}

// signed returns the files of hashes that a path stands for.
func signed(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := ownership.Check(path); err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{strings.TrimSuffix(path, signatureSuffix)}, nil
	}
	entries, err := os.ReadDir(path) // sorted
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), signatureSuffix); ok && strings.HasSuffix(name, hashSuffix) {
			names = append(names, filepath.Join(path, name))
		}
	}
	return names, err
}

func read(name string, verify Verify) (digest.Digest, error) {
	if err := errors.Join(ownership.Check(name), ownership.Check(name+signatureSuffix)); err != nil {
		return digest.Digest{}, err
	}
	text, err := readFile(name, maxHash)
	if err != nil {
		return digest.Digest{}, err
	}
	signature, err := readFile(name+signatureSuffix, maxSignature)
	if err != nil {
		return digest.Digest{}, err
	}
	d, digits, err := Parse(text)
	if err != nil {
		return digest.Digest{}, err
	}
	return d, verify(signature, digits)
}

// Word returns the root hash in a file as it is written there. There is one line: ends of
// lines of any kind may be around it, and behind the hash what sha256sum(1) writes there,
// blanks and the name of a file. Errors wrap ErrText.
func Word(text []byte) ([]byte, error) {
	line := bytes.TrimSpace(text)
	if bytes.ContainsAny(line, "\r\n") {
		return nil, fmt.Errorf("%w: more than one line", ErrText)
	}
	word, _, _ := bytes.Cut(bytes.ReplaceAll(line, []byte("\t"), []byte(" ")), []byte(" "))
	if len(word) == 0 {
		return nil, fmt.Errorf("%w: nothing in it", ErrText)
	}
	return word, nil
}

// Parse reads a file with a root hash, as Word has it: what it is, and the digits that are
// signed.
func Parse(text []byte) (d digest.Digest, digits []byte, err error) {
	word, err := Word(text)
	if err != nil {
		return digest.Digest{}, nil, err
	}
	alg, digits, found := bytes.Cut(word, []byte(":"))
	if !found {
		alg, digits = []byte(defaultAlgorithm), alg
	}
	d, err = digest.Parse(string(alg) + ":" + string(digits))
	if err != nil {
		return digest.Digest{}, nil, err
	}
	if size, ok := digest.AlgorithmSize(d.Algorithm()); !ok || size != d.Size() {
		return digest.Digest{}, nil, fmt.Errorf("%s: %w", d, ErrSize)
	}
	return d, slices.Clone(digits), nil
}

// readFile reads a regular file that has no more bytes than that.
func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%s: not a regular file of at most %d bytes", name, limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}
