package sign

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNoPassphrase: the private key is encrypted, and no passphrase was given.
	ErrNoPassphrase = errors.New("private key needs a passphrase")
	// ErrPassphrase: the private key is encrypted with another passphrase.
	ErrPassphrase = errors.New("wrong passphrase")
	// ErrNoKey: the text holds no private key in a form that ParseKey reads.
	ErrNoKey = errors.New("no private key found (PEM is expected: PKCS#8, PKCS#1 or SEC 1)")
)

// errUnreadable is of a block that claims to be a key.
var errUnreadable = errors.New("damaged, not of the form that its BEGIN line says, or of a kind that kernels do not take (they take RSA, and ECDSA on P-256, P-384 and P-521; openssl pkey -in KEY -noout -text says what it is)")

var errLegacyEncryption = errors.New("encrypted in the legacy form of PEM (convert it with: openssl pkcs8 -topk8 -in KEY -out NEWKEY)")

// pemKey is how the types of PEM blocks with private keys end.
const pemKey = "PRIVATE KEY"

// ParseKey reads the first private key of a PEM text: PKCS#8, plain or encrypted
// with a passphrase (PBES2 with PBKDF2 and AES or triple DES, as OpenSSL writes
// it), PKCS#1 or SEC 1. Other blocks are skipped. The passphrase is ignored for
// keys that need none; an empty one is tried before ErrNoPassphrase is returned.
// Errors wrap ErrNoKey, ErrNoPassphrase, ErrPassphrase or ErrAlgorithm where these
// apply.
func ParseKey(pemText, passphrase []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(pemText); block != nil; block, rest = pem.Decode(rest) {
		if !strings.HasSuffix(block.Type, pemKey) {
			continue
		}
		key, err := parseKeyBlock(block, passphrase)
		if err != nil {
			return nil, fmt.Errorf("parse private key: %w", err)
		}
		return key, nil
	}
	if certs, err := ParseCertificates(pemText); err == nil && len(certs) > 0 {
		return nil, fmt.Errorf("parse private key: %w: this is a certificate", ErrNoKey)
	}
	return nil, fmt.Errorf("parse private key: %w", ErrNoKey)
}

func parseKeyBlock(block *pem.Block, passphrase []byte) (crypto.Signer, error) {
	if strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, errLegacyEncryption
	}
	switch block.Type {
	case "PRIVATE KEY":
		return parsePKCS8(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		key, err := parseEncryptedPKCS8(block.Bytes, passphrase)
		if errors.Is(err, ErrPassphrase) && len(passphrase) == 0 {
			return nil, ErrNoPassphrase
		}
		return key, err
	case "RSA PRIVATE KEY":
		return readable(x509.ParsePKCS1PrivateKey(block.Bytes))
	case "EC PRIVATE KEY":
		return readable(x509.ParseECPrivateKey(block.Bytes))
	}
	return nil, fmt.Errorf("PEM block %q: %w", block.Type, ErrNoKey)
}

// readable leaves out what the decoder says, which names its own functions and types.
func readable[K crypto.Signer](key K, err error) (crypto.Signer, error) {
	if err != nil {
		return nil, errUnreadable
	}
	return key, nil
}

func parseEncryptedPKCS8(sealed, passphrase []byte) (crypto.Signer, error) {
	der, err := decryptPKCS8(sealed, passphrase)
	if err != nil {
		return nil, err
	}
	key, err := parsePKCS8(der)
	if err != nil {
		// Padding can come out right by chance under a wrong passphrase.
		return nil, fmt.Errorf("%w: %w", ErrPassphrase, err)
	}
	return key, nil
}

func parsePKCS8(der []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errUnreadable
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s key cannot sign (kernels take RSA and ECDSA): %w", kindName(key), ErrAlgorithm)
	}
	return signer, nil
}
