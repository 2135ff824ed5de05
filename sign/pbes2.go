package sign

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // keys encrypted with triple DES exist and must be readable
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // PBKDF2's default, RFC 8018 appendix A.2
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"fmt"
	"hash"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

// maxIterations bounds the work that a key file can ask for; it is ten times
// what OpenSSL's heaviest settings in use ask.
const maxIterations = 10_000_000

// Object identifiers of RFC 8018.
var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// prfs are the pseudo-random functions of PBKDF2 by identifier.
var prfs = map[string]func() hash.Hash{
	"1.2.840.113549.2.7":  sha1.New,
	"1.2.840.113549.2.9":  sha256.New,
	"1.2.840.113549.2.10": sha512.New384,
	"1.2.840.113549.2.11": sha512.New,
}

type blockCipher struct {
	keyLen int
	new    func([]byte) (cipher.Block, error)
}

// ciphers are the CBC ciphers of PBES2 by identifier.
var ciphers = map[string]blockCipher{
	"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
	"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
	"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
	"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
}

// pbes2 holds the parameters of one encrypted key.
type pbes2 struct {
	prf        func() hash.Hash
	salt       []byte
	iterations int
	cipher     blockCipher
	iv         []byte
}

// decryptPKCS8 opens an EncryptedPrivateKeyInfo (RFC 5958, section 3).
func decryptPKCS8(der, passphrase []byte) ([]byte, error) {
	in := cryptobyte.String(der)
	var info, algorithm, parameters cryptobyte.String
	var oid asn1.ObjectIdentifier
	var sealed []byte
	if !in.ReadASN1(&info, tag.SEQUENCE) || !info.ReadASN1(&algorithm, tag.SEQUENCE) ||
		!algorithm.ReadASN1ObjectIdentifier(&oid) || !info.ReadASN1Bytes(&sealed, tag.OCTET_STRING) {
		return nil, malformed("encrypted private key")
	}
	if !oid.Equal(oidPBES2) {
		return nil, fmt.Errorf("key encrypted with %v (convert it with: openssl pkcs8 -topk8 -v2 aes-256-cbc): %w", oid, ErrAlgorithm)
	}
	if !algorithm.ReadASN1(&parameters, tag.SEQUENCE) {
		return nil, malformed("parameters of the encryption")
	}
	p, err := parsePBES2(parameters)
	if err != nil {
		return nil, err
	}
	return p.open(sealed, passphrase)
}

func parsePBES2(in cryptobyte.String) (p pbes2, err error) {
	var kdf, scheme cryptobyte.String
	var kdfID, cipherID asn1.ObjectIdentifier
	if !in.ReadASN1(&kdf, tag.SEQUENCE) || !in.ReadASN1(&scheme, tag.SEQUENCE) ||
		!kdf.ReadASN1ObjectIdentifier(&kdfID) || !scheme.ReadASN1ObjectIdentifier(&cipherID) {
		return p, malformed("parameters of the encryption")
	}
	if !kdfID.Equal(oidPBKDF2) {
		return p, fmt.Errorf("key derivation %v (convert the key with: openssl pkcs8 -topk8 -v2 aes-256-cbc): %w", kdfID, ErrAlgorithm)
	}
	var known bool
	if p.cipher, known = ciphers[cipherID.String()]; !known {
		return p, fmt.Errorf("cipher %v: %w", cipherID, ErrAlgorithm)
	}
	if !scheme.ReadASN1Bytes(&p.iv, tag.OCTET_STRING) {
		return p, malformed("initialization vector")
	}
	return p, p.parsePBKDF2(kdf)
}

func (p *pbes2) parsePBKDF2(in cryptobyte.String) error {
	var parameters, prf cryptobyte.String
	var hasPRF bool
	if !in.ReadASN1(&parameters, tag.SEQUENCE) || !parameters.ReadASN1Bytes(&p.salt, tag.OCTET_STRING) ||
		!parameters.ReadASN1Integer(&p.iterations) || !parameters.SkipOptionalASN1(tag.INTEGER) ||
		!parameters.ReadOptionalASN1(&prf, &hasPRF, tag.SEQUENCE) {
		return malformed("parameters of the key derivation")
	}
	if p.iterations < 1 || p.iterations > maxIterations {
		return malformed("%d iterations of the key derivation", p.iterations)
	}
	p.prf = sha1.New
	if !hasPRF {
		return nil
	}
	var oid asn1.ObjectIdentifier
	if !prf.ReadASN1ObjectIdentifier(&oid) {
		return malformed("hash of the key derivation")
	}
	var known bool
	if p.prf, known = prfs[oid.String()]; !known {
		return fmt.Errorf("key derivation with hash %v: %w", oid, ErrAlgorithm)
	}
	return nil
}

func (p *pbes2) open(sealed, passphrase []byte) ([]byte, error) {
	key, err := pbkdf2.Key(p.prf, string(passphrase), p.salt, p.iterations, p.cipher.keyLen)
	if err != nil {
		return nil, err
	}
	block, err := p.cipher.new(key)
	if err != nil {
		return nil, err
	}
	size := block.BlockSize()
	if len(p.iv) != size || len(sealed) == 0 || len(sealed)%size != 0 {
		return nil, malformed("encrypted private key")
	}
	plain := make([]byte, len(sealed))
	cipher.NewCBCDecrypter(block, p.iv).CryptBlocks(plain, sealed)
	return unpad(plain, size)
}

// unpad removes PKCS#7 padding, whose faults mean a wrong passphrase.
func unpad(b []byte, size int) ([]byte, error) {
	n := int(b[len(b)-1])
	if n == 0 || n > size {
		return nil, ErrPassphrase
	}
	for _, c := range b[len(b)-n:] {
		if int(c) != n {
			return nil, ErrPassphrase
		}
	}
	return b[:len(b)-n], nil
}
