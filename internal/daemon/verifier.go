package daemon

import (
	"fmt"
	"log/slog"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/linux/keyring"
	"github.com/ipe-linux/ipe/sign"
)

// verifier is what asks whom t trusts. It is used as long as iped runs. A kernel that
// keeps policies verifies each that it takes; named certificates count in addition then.
func (t *trusted) verifier(eng engine.Engine, log *slog.Logger) (v control.Verifier, problems []error) {
	if _, ok := eng.(engine.Keeper); ok {
		return keeperVerifier{t}, nil
	}
	if !t.kernel && len(t.now().Certificates()) == 0 {
		log.Warn("no trusted certificate: no policy can be loaded until there is one where --trust says, and iped is reloaded")
	}
	v, err := t.own()
	if err != nil {
		return v, []error{fmt.Errorf("trust the kernel's keyrings: %w", err)}
	}
	return v, nil
}

// own is what asks whom t trusts where the engine verifies nothing. Where the kernel cannot be
// asked, the certificates alone count.
func (t *trusted) own() (control.Verifier, error) {
	certificates := certificateVerifier{t}
	if !t.kernel {
		return certificates, nil
	}
	k, err := t.keyrings()
	if err != nil {
		return certificates, err
	}
	return kernelVerifier{k, certificates}, nil
}

// keyrings are the kernel's.
func (t *trusted) keyrings() (k *keyring.Kernel, err error) {
	t.opening.Lock()
	defer t.opening.Unlock()
	if t.opened == nil {
		t.opened, err = keyring.Open()
	}
	return t.opened, err
}

// verify is the question of [control.Verifier], for what no engine verifies. It may come
// before there is an engine.
func (t *trusted) verify(message []byte) (control.Verified, error) {
	v, _ := t.own() // that the kernel cannot be asked is a problem already
	return v.Verify(message)
}

// detachedVerifier is a verifier that can be asked about signatures of root hashes, too.
type detachedVerifier interface {
	verifyDetached(message, content []byte) error
}

// certificateVerifier asks the certificates of the moment.
type certificateVerifier struct{ whom *trusted }

func (c certificateVerifier) Verify(message []byte) (control.Verified, error) {
	return control.Certificates(c.whom.now()).Verify(message)
}

func (c certificateVerifier) Trust() api.Trust { return control.Certificates(c.whom.now()).Trust() }

func (c certificateVerifier) verifyDetached(message, content []byte) error {
	_, err := sign.VerifyDetached(message, content, c.whom.now())
	return err
}

// keeperVerifier asks them in addition to a kernel that verifies what it takes.
type keeperVerifier struct{ whom *trusted }

func (k keeperVerifier) Verify(message []byte) (control.Verified, error) {
	return control.KernelToo(k.whom.named()).Verify(message)
}

func (k keeperVerifier) Trust() api.Trust { return control.KernelToo(k.whom.named()).Trust() }

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

func (k kernelVerifier) Trust() api.Trust {
	t := k.certificates.Trust()
	t.Kind = api.TrustKernel
	return t
}
