package sign

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/smallstep/pkcs7"
)

// Options say how to sign. The zero Options sign with SHA-256 and attach the
// content.
type Options struct {
	// Hash is SHA-256, SHA-384 or SHA-512; 0 stands for SHA-256.
	Hash crypto.Hash
	// Detached leaves the content out of the message.
	Detached bool
	// NoCertificate leaves the certificate out of the message: whoever verifies it must
	// have the signer's own.
	NoCertificate bool
}

// Content signs content with key and returns the DER message, which holds cert
// unless it is left out, and no signed attributes: the form that every kernel with IPE takes. The key
// may be RSA, of a length that kernels take, or ECDSA on P-256, P-384 or P-521,
// and may live outside this process. The message is verified before it is returned. Errors wrap
// ErrKeyMismatch, ErrAlgorithm or ErrTooLong, or are the key's own.
func Content(content []byte, cert *x509.Certificate, key crypto.Signer, opts Options) ([]byte, error) {
	der, err := signContent(content, cert, key, opts)
	if err != nil {
		return nil, fmt.Errorf("sign content: %w", err)
	}
	if err := checkOwn(der, content, cert, opts); err != nil {
		return nil, fmt.Errorf("sign content: check the result: %w", err)
	}
	return der, nil
}

func signContent(content []byte, cert *x509.Certificate, key crypto.Signer, opts Options) ([]byte, error) {
	if err := checkKey(cert, key); err != nil {
		return nil, err
	}
	digest, encryption, err := algorithmIDs(cert, opts.hash())
	if err != nil {
		return nil, err
	}
	if opts.NoCertificate {
		return signBare(content, cert, key, digest, encryption, opts)
	}
	sd, err := pkcs7.NewSignedData(content)
	if err != nil {
		return nil, err
	}
	// Both must be set: the library's own choices are SHA-1 and, for RSA, an
	// identifier that joins key and hash, which the kernel does not know.
	sd.SetDigestAlgorithm(digest)
	sd.SetEncryptionAlgorithm(encryption)
	if err := sd.SignWithoutAttr(cert, key, pkcs7.SignerInfoConfig{}); err != nil {
		return nil, err
	}
	if opts.Detached {
		sd.Detach()
	}
	return sd.Finish()
}

func (o Options) hash() crypto.Hash {
	if o.Hash == 0 {
		return crypto.SHA256
	}
	return o.Hash
}

var errNoKey = errors.New("certificate or private key missing")

func checkKey(cert *x509.Certificate, key crypto.Signer) error {
	if cert == nil || key == nil {
		return errNoKey
	}
	pub, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return fmt.Errorf("certificate with %s key (kernels take RSA and ECDSA): %w", kindName(cert.PublicKey), ErrAlgorithm)
	}
	if !pub.Equal(key.Public()) {
		return fmt.Errorf("certificate %q: %w", cert.Subject, ErrKeyMismatch)
	}
	return nil
}

// algorithmIDs returns the identifiers of digest and signature algorithm.
func algorithmIDs(cert *x509.Certificate, hash crypto.Hash) (digest, encryption asn1.ObjectIdentifier, err error) {
	kind, err := kindOfPublicKey(cert.PublicKey)
	if err != nil {
		return nil, nil, err
	}
	if err := checkLength(cert.PublicKey); err != nil {
		return nil, nil, err
	}
	for _, a := range digestAlgorithms {
		switch {
		case a.hash == hash && kind == rsaKey:
			return a.oid, oidRSA, nil
		case a.hash == hash && kind == ecdsaKey:
			return a.oid, a.ecdsa, nil
		}
	}
	return nil, nil, fmt.Errorf("hash %v (use SHA-256, SHA-384 or SHA-512): %w", hash, ErrAlgorithm)
}

// checkOwn catches what would otherwise be found at load time only: a message
// too long, or a key outside this process that answered with something else.
func checkOwn(der, content []byte, cert *x509.Certificate, opts Options) error {
	ring := NewKeyring(cert)
	if opts.Detached {
		_, err := VerifyDetached(der, content, ring)
		return err
	}
	e, err := Verify(der, ring)
	if err != nil {
		return err
	}
	if !bytes.Equal(e.Content, content) {
		return ErrRejected
	}
	return nil
}
