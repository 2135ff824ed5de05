package texts

import (
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/keys"
	"github.com/ipe-linux/ipe/policy/lint"
	"github.com/ipe-linux/ipe/sign"
)

// narrow is the room beside a text below which a signature and an ordinary certificate may
// not fit, in bytes: RSA keys of 4096 bits with a long certificate have less.
const narrow = 4 << 10

// Extent is how long the message of a text will be.
type Extent struct {
	Size, Limit int // in bytes
	// Exact: the signer is known. Otherwise Size is the least possible.
	Exact bool
}

// Signer is a flag that names the certificate of the signer, to know how long messages
// will be.
type Signer struct {
	Cert string

	certificate *x509.Certificate // nil without
}

// Add adds the flag.
func (s *Signer) Add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.Cert, "cert", "", "`file` with the signer's certificate, PEM or DER: how long the message will be, to a few bytes")
}

// Read reads the certificate.
func (s *Signer) Read(u *ui.UI) (err error) {
	if s.Cert != "" {
		s.certificate, err = keys.Certificate(u, s.Cert)
	}
	return err
}

// Extent is that of a text.
func (s *Signer) Extent(text []byte) Extent {
	if s.certificate != nil {
		return Extent{len(text) + sign.Overhead(s.certificate), sign.MaxLen, true}
	}
	return Extent{len(text) + sign.LeastOverhead, sign.MaxLen, false}
}

// Left is how many bytes more fit, negative if the text is too long.
func (e Extent) Left() int { return e.Limit - e.Size }

// String is for the line of a text that fits.
func (e Extent) String() string {
	if e.Exact {
		return fmt.Sprintf("signed up to %d of at most %d bytes", e.Size, e.Limit)
	}
	return fmt.Sprintf("signed at least %d of at most %d bytes", e.Size, e.Limit)
}

// errNoMessage is about a text that is valid, and that nothing takes.
var errNoMessage = errors.New("no signed message can hold it")

// Unfit is the error of a text that does not fit, nil if it does. EMSGSIZE, as of the
// kernel.
func (l language) Unfit(e Extent) error {
	with := "it would have %d bytes at least"
	if e.Exact {
		with = "with that certificate it would have %d bytes"
	}
	if e.Left() >= 0 {
		return nil
	}
	return ui.Hinted(fmt.Errorf("%w%s: "+with+", %d more than fit: %w", errNoMessage, l.engines, e.Size, -e.Left(), unix.EMSGSIZE), "%s", l.tooLong)
}

// codeLittleRoom is not about the text, but about the message.
const codeLittleRoom lint.Code = "little-room"

// warnings are about what fits some signers only.
func (e Extent) warnings() []Warning {
	if e.Exact || e.Left() < 0 || e.Left() >= narrow {
		return nil
	}
	return []Warning{{0, codeLittleRoom, lint.Warning,
		fmt.Sprintf("only %d bytes are left for signature and certificate; --cert says whether they suffice", e.Left()+sign.LeastOverhead)}}
}
