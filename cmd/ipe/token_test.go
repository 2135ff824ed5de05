//go:build cgo

package main

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ipe-linux/ipe/internal/author/token/signer"
)

// softHSM is the module of Debian's SoftHSM, a token in files.
const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

// tokenCommands are what ipe starts, and a tool to put things on tokens.
func tokenCommands() map[string]func() {
	return map[string]func(){"ipe-pkcs11": func() { os.Exit(signer.Main()) }, "tokentool": tokentool}
}

// TestTokenScripts signs with keys on tokens of SoftHSM.
func TestTokenScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/token",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PKCS11_MODULE_PATH", softHSM)
			e.Setenv("SOFTHSM2_CONF", e.WorkDir+"/softhsm2.conf")
			if err := os.Mkdir(e.WorkDir+"/tokens", 0o700); err != nil {
				return err
			}
			return os.WriteFile(e.WorkDir+"/softhsm2.conf", []byte("directories.tokendir = "+e.WorkDir+"/tokens\n"), 0o600)
		},
	})
}

// tokentool does what softhsm2-util does not:
//
//	tokentool cert TOKEN PIN ID FILE      put a certificate beside a key
//	tokentool generate TOKEN PIN ID KIND  generate a key, and print it in PEM; KIND is
//	                                      rsa, ec, or again for one that wants the PIN
//	                                      with each signature
func tokentool() {
	if err := runTokentool(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runTokentool(args []string) error {
	if len(args) != 5 {
		return errors.New("usage: tokentool cert|generate TOKEN PIN ID FILE|KIND")
	}
	m := pkcs11.New(softHSM)
	if m == nil {
		return errors.New("no " + softHSM)
	}
	if err := m.Initialize(); err != nil {
		return err
	}
	defer m.Finalize()
	h, err := openToken(m, args[1], args[2])
	if err != nil {
		return err
	}
	id, err := hex.DecodeString(args[3])
	if err != nil {
		return err
	}
	if args[0] == "cert" {
		return putCertificate(m, h, id, args[4])
	}
	return generate(m, h, id, args[4])
}

func openToken(m *pkcs11.Ctx, label, pin string) (pkcs11.SessionHandle, error) {
	slots, err := m.GetSlotList(true)
	if err != nil {
		return 0, err
	}
	for _, slot := range slots {
		if info, err := m.GetTokenInfo(slot); err != nil || info.Label != label {
			continue
		}
		h, err := m.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
		if err != nil {
			return 0, err
		}
		return h, m.Login(h, pkcs11.CKU_USER, pin)
	}
	return 0, errors.New("no token " + label)
}

func putCertificate(m *pkcs11.Ctx, h pkcs11.SessionHandle, id []byte, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	_, err = m.CreateObject(h, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_CERTIFICATE),
		pkcs11.NewAttribute(pkcs11.CKA_CERTIFICATE_TYPE, pkcs11.CKC_X_509),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_ID, id),
		pkcs11.NewAttribute(pkcs11.CKA_SUBJECT, cert.RawSubject),
		pkcs11.NewAttribute(pkcs11.CKA_VALUE, cert.Raw),
	})
	return err
}

func generate(m *pkcs11.Ctx, h pkcs11.SessionHandle, id []byte, kind string) error {
	mechanism := uint(pkcs11.CKM_EC_KEY_PAIR_GEN)
	p256, err := asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7})
	if err != nil {
		return err
	}
	public := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, p256)}
	if kind == "rsa" {
		mechanism = pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN
		public = []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_MODULUS_BITS, 2048)}
	}
	both := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_ID, id),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, "generated "+kind)}
	pub, _, err := m.GenerateKeyPair(h, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)},
		append(public, both...),
		append(both, pkcs11.NewAttribute(pkcs11.CKA_SIGN, true), pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
			pkcs11.NewAttribute(pkcs11.CKA_ALWAYS_AUTHENTICATE, kind == "again")))
	if err != nil {
		return err
	}
	return printPublic(m, h, pub, kind)
}

// printPublic lets the program under test alone judge what a public key is: this one
// puts the bytes together by hand.
func printPublic(m *pkcs11.Ctx, h pkcs11.SessionHandle, pub pkcs11.ObjectHandle, kind string) error {
	get := func(attribute uint) []byte {
		a, err := m.GetAttributeValue(h, pub, []*pkcs11.Attribute{pkcs11.NewAttribute(attribute, nil)})
		if err != nil {
			return nil
		}
		return a[0].Value
	}
	// SubjectPublicKeyInfo of a point on P-256, and of a modulus of 2048 bits with the
	// exponent 65537, up to the point and the modulus.
	head, key := "3059301306072a8648ce3d020106082a8648ce3d030107034200", get(pkcs11.CKA_EC_POINT)
	foot := ""
	if kind == "rsa" {
		head, key, foot = "30820122300d06092a864886f70d01010105000382010f003082010a0282010100", get(pkcs11.CKA_MODULUS), "0203010001"
	} else {
		key = key[2:]
	}
	der, err := hex.DecodeString(head + hex.EncodeToString(key) + foot)
	if err != nil {
		return err
	}
	if strings.HasPrefix(kind, "rsa") != (len(der) > 256) {
		return fmt.Errorf("a key of %d bytes", len(der))
	}
	return pem.Encode(os.Stdout, &pem.Block{Type: "PUBLIC KEY", Bytes: der})
}
