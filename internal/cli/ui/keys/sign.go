package keys

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/sign"
)

// Sign returns a signed message.
func (s *Signer) Sign(content []byte, opts sign.Options) ([]byte, error) {
	message, err := sign.Content(content, s.Cert, s.key, opts)
	if errors.Is(err, sign.ErrKeyMismatch) {
		return nil, ui.Hinted(err, "--key and --cert must belong together; the first certificate of the file counts")
	}
	if err != nil {
		return nil, tokenHint(err)
	}
	return message, nil
}

// Detached returns a signature of content, and the name of the signer.
func (f *Flags) Detached(ctx context.Context, u *ui.UI, content []byte, opts sign.Options) (message []byte, signer string, err error) {
	s, err := f.Open(ctx, u)
	if err != nil {
		return nil, "", err
	}
	defer s.Close()
	opts.Hash, opts.Detached = f.Digest(), true
	message, err = s.Sign(content, opts)
	if err != nil {
		return nil, "", err
	}
	return message, s.Cert.Subject.String(), nil
}

// WriteDetached signs content and writes the message; if that went to a file, done is told
// the name of the signer.
func (f *Flags) WriteDetached(cmd *cobra.Command, u *ui.UI, content []byte, out string, opts sign.Options, done func(signer string) error) error {
	if err := f.Check(cmd, out); err != nil {
		return err
	}
	message, signer, err := f.Detached(cmd.Context(), u, content, opts)
	if err != nil {
		return err
	}
	if out == "-" {
		return u.Emit(message)
	}
	if err := ui.Create(out, message); err != nil {
		return err
	}
	return done(signer)
}

// ReadSignature reads a signature for the kernel, nil for an empty name. One without a
// byte is refused: for the kernel that is none.
func ReadSignature(u *ui.UI, name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	b, err := u.Read(name)
	if err == nil && len(b) == 0 {
		err = errors.New(plain.Name(name) + ": the signature is empty")
	}
	return b, err
}
