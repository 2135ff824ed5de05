package control

import (
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/sign"
)

// Verifier decides whose policies are taken.
type Verifier interface {
	// Verify returns what a message contains and who vouches for it. Errors wrap one
	// of the sentinels of package sign, or are those of the system.
	Verify(message []byte) (Verified, error)
	// Trust describes whom it trusts.
	Trust() api.Trust
}

// Verified is a message that somebody trusted has signed.
type Verified struct {
	*sign.Envelope
	// By names who vouches for it, for people to read.
	By []string
}

// Certificates is a Verifier that trusts a keyring.
func Certificates(ring *sign.Keyring) Verifier { return certificates{ring} }

type certificates struct{ ring *sign.Keyring }

func (c certificates) Verify(message []byte) (Verified, error) {
	e, err := sign.Verify(message, c.ring)
	if err != nil {
		return Verified{}, err
	}
	return Verified{Envelope: e, By: anchorsOf(e)}, nil
}

func (c certificates) Trust() api.Trust {
	return api.Trust{Kind: api.TrustCertificates, Certificates: len(c.ring.Certificates())}
}

// KernelToo is a Verifier for an engine that is a kernel which verifies policies
// itself. Here the form is checked, and the signature only if the keyring has
// certificates: then both must trust.
func KernelToo(ring *sign.Keyring) Verifier { return kernelToo{certificates{ring}} }

type kernelToo struct{ certificates }

func (k kernelToo) Verify(message []byte) (Verified, error) {
	if len(k.ring.Certificates()) > 0 {
		return k.certificates.Verify(message)
	}
	e, err := sign.Inspect(message)
	if err != nil {
		return Verified{}, err
	}
	return Verified{Envelope: e, By: []string{"a key of the kernel's keyrings"}}, nil
}

func (k kernelToo) Trust() api.Trust {
	return api.Trust{Kind: api.TrustKernel, Certificates: len(k.ring.Certificates())}
}

// anchorsOf returns the subjects of the certificates that vouch for e.
func anchorsOf(e *sign.Envelope) []string {
	var names []string
	for _, s := range e.Signers {
		if s.Anchor != nil {
			names = append(names, s.Anchor.Subject.String())
		}
	}
	return names
}
