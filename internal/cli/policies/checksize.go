package policies

import (
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/keys"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/sign"
)

// checkFlags say what becomes of the texts that policy check is given.
type checkFlags struct {
	cert string
	boot bool
	// signer is the certificate of cert, nil without.
	signer *x509.Certificate
}

func (f *checkFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.cert, "cert", "", "certificate of the signer, PEM or DER: how long the message will be, to a few bytes")
	cmd.Flags().BoolVar(&f.boot, "boot", false, "the texts are for iped --boot-policy, or compiled into a kernel: not signed, and longer")
}

// prepare reads the certificate.
func (a *app) prepare(cmd *cobra.Command, f *checkFlags) (err error) {
	if f.boot && f.cert != "" {
		return ui.Usage(cmd, "--boot and --cert exclude each other: a boot policy is not signed")
	}
	if f.cert != "" {
		f.signer, err = keys.Certificate(a.UI, f.cert)
	}
	return err
}

// narrow is the room beside a text below which a signature and an ordinary certificate may
// not fit, in bytes: RSA keys of 4096 bits with a long certificate have less.
const narrow = 4 << 10

// extent is how long the message of a text, or that of a boot policy, will be.
type extent struct {
	size, limit int // in bytes
	// exact: the signer is known, or there is none. Otherwise size is the least possible.
	exact, boot bool
}

func (f *checkFlags) extent(text []byte) extent {
	switch {
	case f.boot:
		return extent{len(text), api.MaxBoot - 1, true, true}
	case f.signer != nil:
		return extent{len(text) + sign.Overhead(f.signer), sign.MaxLen, true, false}
	}
	return extent{len(text) + sign.LeastOverhead, sign.MaxLen, false, false}
}

func (e extent) room() int { return e.limit - e.size }

// String is for the line of a policy that fits.
func (e extent) String() string {
	switch {
	case e.boot:
		return fmt.Sprintf("%d of at most %d bytes", e.size, e.limit)
	case e.exact:
		return fmt.Sprintf("signed up to %d of at most %d bytes", e.size, e.limit)
	}
	return fmt.Sprintf("signed at least %d of at most %d bytes", e.size, e.limit)
}

// Errors of a text that is a policy, and that nothing takes.
var (
	errNoMessage = errors.New("no signed message can hold it for any engine, bpf or securityfs")
	errNoBoot    = errors.New("neither iped nor a kernel takes it as a boot policy")
)

// err is nil if the policy fits. EMSGSIZE, or ENOMEM for a boot policy, as of the kernel.
func (e extent) err() error {
	switch {
	case e.room() >= 0:
		return nil
	case e.boot:
		return ui.Hinted(fmt.Errorf("%w: it has %d bytes, %d more than fit: %w", errNoBoot, e.size, -e.room(), unix.ENOMEM), tooLong)
	case e.exact:
		return ui.Hinted(fmt.Errorf("%w: with that certificate it would have %d bytes, %d more than fit: %w", errNoMessage, e.size, -e.room(), unix.EMSGSIZE), tooLong)
	}
	return ui.Hinted(fmt.Errorf("%w: it would have %d bytes at least, %d more than fit: %w", errNoMessage, e.size, -e.room(), unix.EMSGSIZE), tooLong)
}

// tooLong is what to do about a text that is too long.
const tooLong = "rules by dmverity_roothash, dmverity_signature or fsverity_signature stand for many files each; shorter comments help a little"

// warning is about what fits some signers only; empty if there is room.
func (e extent) warning() string {
	if e.exact || e.room() < 0 || e.room() >= narrow {
		return ""
	}
	return fmt.Sprintf("only %d bytes are left for signature and certificate; --cert says whether they suffice", e.room()+sign.LeastOverhead)
}

// engines are those that take the policy. Both make a directory, or what looks like one,
// of its name.
func (e extent) engines(p *policy.Policy) []string {
	if e.room() < 0 || api.CheckName(p.Name) != nil {
		return []string{}
	}
	if e.boot {
		return []string{"bpf"} // the other has it compiled in
	}
	return []string{"bpf", "securityfs"}
}
