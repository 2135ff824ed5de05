package sign_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"

	"github.com/smallstep/pkcs7"

	"github.com/ipe-linux/ipe/sign"
)

// message signs with id and adds certificates.
func message(t *testing.T, id identity, extra ...*x509.Certificate) []byte {
	t.Helper()
	sd := unsigned(t)
	sd.SetEncryptionAlgorithm(pkcs7.OIDDigestAlgorithmECDSASHA256)
	if err := sd.SignWithoutAttr(id.cert, id.key, pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range extra {
		sd.AddCertificate(c)
	}
	return must(sd.Finish())
}

// keyIDs sets what names a certificate's key and its issuer's.
func keyIDs(own, issuer []byte) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.SubjectKeyId, c.AuthorityKeyId = own, issuer }
}

// damaged returns a certificate whose own signature is wrong.
func damaged(c *x509.Certificate) *x509.Certificate {
	der := bytes.Clone(c.Raw)
	der[len(der)-1] ^= 1
	return must(x509.ParseCertificate(der))
}

// TestForgedChains holds certificates that claim relations which they do not have.
func TestForgedChains(t *testing.T) {
	t.Parallel()
	root := selfSigned("root", ecOf(elliptic.P256()))
	middle := issue("middle", ecOf(elliptic.P256()), &root)
	leaf := issue("leaf", ecOf(elliptic.P256()), &middle)
	evil := ecOf(elliptic.P256())
	rootID, middleID := root.cert.SubjectKeyId, middle.cert.SubjectKeyId
	// claim says that root signed it, in name and key id, but evil did.
	claim := issue("claim", evil, &identity{evil, &x509.Certificate{Subject: root.cert.Subject, SubjectKeyId: rootID}})
	// double has the key id of middle, and root's signature, but another key.
	double := issue("double", evil, &root, keyIDs(middleID, nil))
	// posing signed itself, under root's key id.
	posing := issue("posing", evil, nil, keyIDs(rootID, rootID))
	// renamed has issuer and serial number of middle, but neither key nor key id.
	renamed := issue("middle", evil, &root, func(c *x509.Certificate) { c.SerialNumber = middle.cert.SerialNumber })
	tests := []struct {
		name string
		der  []byte
		ring *sign.Keyring
		want error
	}{
		{"honest", message(t, leaf, middle.cert, root.cert), root.ring(), nil},
		{"not signed by the issuer in the ring", message(t, claim), root.ring(), sign.ErrRejected},
		{"not signed by the issuer in the message", message(t, leaf, double.cert), root.ring(), sign.ErrRejected},
		{"self-signed under a trusted key id", message(t, posing), root.ring(), sign.ErrUntrusted},
		{"ring knows another of the name", message(t, leaf, middle.cert), renamed.ring(), sign.ErrUntrusted},
		{"damaged root in the message", message(t, leaf, middle.cert, damaged(root.cert)), middle.ring(), sign.ErrRejected},
		{"damaged middle, which nobody needs", message(t, leaf, damaged(middle.cert)), leaf.ring(), nil},
		{"damaged middle", message(t, leaf, damaged(middle.cert)), root.ring(), sign.ErrRejected},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := sign.Verify(tt.der, tt.ring)
			checkError(t, err, tt.want)
		})
	}
}

func TestChainLoopEnds(t *testing.T) {
	t.Parallel()
	keyA, keyB := ecOf(elliptic.P256()), ecOf(elliptic.P256())
	nameOfA := &x509.Certificate{Subject: pkix.Name{CommonName: "a"}, SubjectKeyId: []byte("a")}
	b := issue("b", keyB, &identity{keyA, nameOfA}, keyIDs([]byte("b"), nil))
	a := issue("a", keyA, &b, keyIDs([]byte("a"), nil))
	leaf := issue("leaf", ecOf(elliptic.P256()), &a)
	der := message(t, leaf, a.cert, b.cert)
	accept(t, der, b.ring(), false)
	_, err := sign.Verify(der, selfSigned("c", keyB).ring())
	checkError(t, err, sign.ErrUntrusted)
}
