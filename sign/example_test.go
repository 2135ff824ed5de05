package sign_test

import (
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/sign"
)

func ExampleContent() {
	author := identities["p256"]()
	der, err := sign.Content([]byte("hello"), author.cert, author.key, sign.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := sign.Verify(der, sign.NewKeyring(author.cert))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s, by %s with %v\n", e.Content, e.Signers[0].Issuer, e.Signers[0].SignatureAlgorithm)
	// Output: hello, by CN=p256 with ECDSA-SHA256
}

func ExampleVerify() {
	author, stranger := identities["p256"](), identities["p384"]()
	der, err := sign.Content([]byte("hello"), author.cert, author.key, sign.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = sign.Verify(der, sign.NewKeyring(stranger.cert))
	fmt.Println(errors.Is(err, sign.ErrUntrusted))
	// Output: true
}

func ExampleVerifyDetached() {
	author := identities["p256"]()
	der, err := sign.Content([]byte("root hash"), author.cert, author.key, sign.Options{Detached: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = sign.VerifyDetached(der, []byte("root hash"), sign.NewKeyring(author.cert))
	fmt.Println(err)
	// Output: <nil>
}

func ExampleInspect() {
	author := identities["p256"]()
	der, err := sign.Content([]byte("hello"), author.cert, author.key, sign.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := sign.Inspect(der)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s %d\n", e.Content, len(e.Signers))
	// Output: hello 1
}

func ExampleParseCertificates() {
	_, err := sign.ParseCertificates([]byte("not a certificate"))
	fmt.Println(err)
	// Output: parse certificates: no certificate found (expected is PEM with BEGIN CERTIFICATE, or DER)
}

func ExampleParseKey() {
	_, err := sign.ParseKey([]byte("not a key"), nil)
	fmt.Println(err)
	// Output: parse private key: no private key found (PEM is expected: PKCS#8, PKCS#1 or SEC 1)
}
