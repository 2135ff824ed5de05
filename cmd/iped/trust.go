package main

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/keyring"
	"github.com/ipe-linux/ipe/internal/trust"
	"github.com/ipe-linux/ipe/sign"
)

// trustKernel, as a value of --trust, means the kernel's own keyrings. A file of that
// name is ./kernel.
const trustKernel = "kernel"

// trusted is whom the command line trusts.
type trusted struct {
	ring   *sign.Keyring
	kernel bool
	// skipped are files without a certificate.
	skipped []error
}

// readTrust reads the certificates. Nothing needs the kernel yet.
func readTrust(values []string) (t trusted, err error) {
	paths := slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == trustKernel })
	t.kernel = len(paths) < len(values)
	if t.ring, t.skipped, err = trust.Read(paths...); err != nil {
		return trusted{}, err
	}
	return t, nil
}

// named are the certificates that alone may sign; none if the kernel's keys may, too.
func (t trusted) named() []*x509.Certificate {
	if t.kernel {
		return nil
	}
	return t.ring.Certificates()
}

// verifier is what asks them. It is used as long as iped runs. A kernel that keeps
// policies verifies each that it takes; named certificates count in addition then.
func (t trusted) verifier(eng engine.Engine, log *slog.Logger) (control.Verifier, error) {
	if _, ok := eng.(engine.Keeper); ok {
		return control.KernelToo(sign.NewKeyring(t.named()...)), nil
	}
	certificates := certificateVerifier{control.Certificates(t.ring), t.ring}
	if !t.kernel {
		if len(t.ring.Certificates()) == 0 {
			log.Warn("no trusted certificate: no policy can be loaded; see --trust")
		}
		return certificates, nil
	}
	k, err := keyring.Open()
	if err != nil {
		return nil, fmt.Errorf("trust the kernel's keyrings: %w", err)
	}
	return kernelVerifier{k, certificates}, nil
}

// detachedVerifier is a verifier that can be asked about signatures of root hashes, too.
type detachedVerifier interface {
	verifyDetached(message, content []byte) error
}

type certificateVerifier struct {
	control.Verifier
	ring *sign.Keyring
}

func (c certificateVerifier) verifyDetached(message, content []byte) error {
	_, err := sign.VerifyDetached(message, content, c.ring)
	return err
}

// kernelVerifier asks the certificates first, and then the kernel, whose answer counts.
type kernelVerifier struct {
	kernel       *keyring.Kernel
	certificates certificateVerifier
}

func (k kernelVerifier) verifyDetached(message, content []byte) error {
	if k.certificates.verifyDetached(message, content) == nil {
		return nil
	}
	_, err := k.kernel.VerifyDetached(message, content)
	return err
}

func (k kernelVerifier) Verify(message []byte) (control.Verified, error) {
	v, refused := k.certificates.Verify(message)
	if refused == nil {
		return v, nil
	}
	e, ring, err := k.kernel.Verify(message)
	switch {
	case err == nil:
		return control.Verified{Envelope: e, By: []string{"a key of " + string(ring)}}, nil
	case k.certificates.Trust().Certificates > 0:
		// Text alone: the errno is the kernel's.
		return control.Verified{}, fmt.Errorf("%w; nor by a certificate: %s", err, refused.Error())
	}
	return control.Verified{}, err
}

func (k kernelVerifier) Trust() control.Trust {
	t := k.certificates.Trust()
	t.Kind = control.TrustKernel
	return t
}
