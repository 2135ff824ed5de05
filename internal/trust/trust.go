// Package trust reads the certificates that an administrator put on disk into a
// keyring.
package trust

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/internal/ownership"
	"github.com/ipe-linux/ipe/sign"
)

// maxFile bounds the size of a certificate file in bytes.
const maxFile = 4 << 20

// extensions are the endings of file names that count in a directory. Others are
// left alone, so that a README or a key next to the certificates does no harm.
var extensions = []string{".pem", ".crt", ".cer", ".der"}

// Read returns a keyring of the certificates, PEM or DER, in the given files and
// in the files of the given directories whose names end in .pem, .crt, .cer or
// .der; subdirectories are not entered. A path that cannot be read, or that names a
// file without a certificate, is an error. Such a file in a directory is skipped and
// reported in skipped: one stray file must not keep a machine from enforcing.
// Directories may be empty: the keyring then trusts nobody.
func Read(paths ...string) (ring *sign.Keyring, skipped []error, err error) {
	return read(func(string) error { return nil }, paths)
}

// ReadOwn is Read for a daemon of root: a certificate counts if only root can change
// its file, and a directory if only root can add to it; see package ownership.
func ReadOwn(paths ...string) (ring *sign.Keyring, skipped []error, err error) {
	return read(ownership.Check, paths)
}

func read(check func(path string) error, paths []string) (ring *sign.Keyring, skipped []error, err error) {
	var certs []*x509.Certificate
	for _, p := range paths {
		files, err := filesOf(p)
		if err == nil {
			err = check(p)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read trust: %w", err)
		}
		for _, f := range files {
			found, err := readFile(f)
			if err == nil {
				err = check(f)
			}
			if err != nil {
				err = fmt.Errorf("read trust: %s: %w", f, err)
				if f == p {
					return nil, nil, err
				}
				skipped = append(skipped, err)
				continue
			}
			certs = append(certs, found...)
		}
	}
	return sign.NewKeyring(certs...), skipped, nil
}

// filesOf returns path itself, or the certificate files in it.
func filesOf(path string) ([]string, error) {
	st, err := os.Stat(path)
	if err != nil || !st.IsDir() {
		return []string{path}, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() && slices.Contains(extensions, strings.ToLower(filepath.Ext(e.Name()))) {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	return files, nil
}

func readFile(name string) ([]*x509.Certificate, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxFile {
		return nil, fmt.Errorf("not a regular file of at most %d bytes", maxFile)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return sign.ParseCertificates(b)
}
