//go:build cgo

// Command ipe-pkcs11 signs with keys on PKCS#11 tokens. ipe starts it; it is of no
// use by itself. It loads the module of the token's vendor, which a static program
// cannot do.
package main

import (
	"os"

	"github.com/ipe-linux/ipe/internal/author/token/signer"
)

func main() { os.Exit(signer.Main()) }
