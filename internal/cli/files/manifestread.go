package files

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/author/seal"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/internal/trust"
	"github.com/ipe-linux/ipe/manifest"
	"github.com/ipe-linux/ipe/sign"
)

// manifestSource says where a manifest is and whom to believe.
type manifestSource struct {
	file, signature string
	trust           []string
}

func (s *manifestSource) flags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&s.file, "manifest", "", "a `file` that ipe fsverity manifest wrote, - for standard input")
	fl.StringVar(&s.signature, "signature", "", "`file` with the manifest's signature (default its name and "+seal.SignatureSuffix+")")
	fl.StringArrayVar(&s.trust, "trust", nil, "`path` of the certificates that the manifest must be signed by: a file, or a directory of them; may be repeated")
}

// check refuses flags that make no sense together.
func (s *manifestSource) check(cmd *cobra.Command) error {
	switch {
	case s.file == "" && (len(s.trust) > 0 || s.signature != ""):
		return ui.Usage(cmd, "--trust and --signature are for --manifest")
	case s.signature != "" && len(s.trust) == 0:
		return ui.Usage(cmd, "--signature needs --trust: whom to believe")
	case s.file == "-" && len(s.trust) > 0 && s.signature == "":
		return ui.Usage(cmd, "--trust needs --signature for a manifest from standard input")
	case s.file == "-" && s.signature == "-":
		return ui.Usage(cmd, "standard input cannot be manifest and signature")
	}
	return nil
}

// readManifest calls each for the entries of a manifest. If there is somebody to
// trust, not a byte is parsed before the signature is verified; signer is then who
// signed.
func (a *app) readManifest(s manifestSource, each func(manifest.Entry) error) (signer string, err error) {
	var in io.Reader
	if len(s.trust) > 0 {
		text, who, err := a.verifiedManifest(s)
		if err != nil {
			return "", err
		}
		in, signer = bytes.NewReader(text), who
	} else {
		file, err := a.Open(s.file)
		if err != nil {
			return "", err
		}
		defer file.Close()
		in = file
	}
	if err := manifest.Parse(in, each); err != nil {
		return "", fmt.Errorf("%s: %w", plain.Name(s.file), err)
	}
	return signer, nil
}

// verifiedManifest returns the text of a manifest that somebody trusted has signed.
func (a *app) verifiedManifest(s manifestSource) (text []byte, signer string, err error) {
	ring, skipped, err := trust.Read(s.trust...)
	if err != nil {
		return nil, "", err
	}
	for _, e := range skipped {
		a.WarnOf("", "%s", plain.Error(e))
	}
	name := s.signature
	if name == "" {
		name = s.file + seal.SignatureSuffix
	}
	message, err := a.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", ui.Hinted(fmt.Errorf("%s is not signed: %w", plain.Name(s.file), err), "--signature names a signature that is elsewhere; without --trust, none is needed")
	}
	if err != nil {
		return nil, "", err
	}
	if text, err = a.ReadUpTo(s.file, manifest.MaxSize); err != nil {
		return nil, "", err
	}
	e, err := sign.VerifyDetached(message, text, ring)
	if err != nil {
		return nil, "", manifestHint(fmt.Errorf("%s: signature in %s: %w [%s]", plain.Name(s.file), plain.Name(name), err, ui.Symbol(err)), len(ring.Certificates()), s.trust)
	}
	return text, signerOf(e), nil
}

func manifestHint(err error, anchors int, trusted []string) error {
	switch {
	case anchors == 0:
		return ui.Hinted(err, "no certificate is in %s; in a directory, names end in .pem, .crt, .cer or .der", plain.Names(trusted))
	case errors.Is(err, sign.ErrRejected):
		return ui.Hinted(err, "the manifest was changed after it was signed, or the signature is another file's")
	}
	return err
}

// signerOf names the first signer that is trusted.
func signerOf(e *sign.Envelope) string {
	for _, s := range e.Signers {
		switch {
		case s.Anchor == nil:
		case s.Certificate != nil:
			return s.Certificate.Subject.String()
		default:
			return s.Anchor.Subject.String()
		}
	}
	return ""
}
