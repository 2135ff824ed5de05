package texts

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/internal/trust"
	"github.com/ipe-linux/ipe/sign"
)

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// envelopeSigner is one signer of a message.
type envelopeSigner struct {
	Issuer    string `json:"issuer"`
	Serial    string `json:"serial"`
	KeyID     string `json:"key_id"`
	Subject   string `json:"subject"`
	Algorithm string `json:"algorithm"`
	// SignedAttributes are covered by the signature together with the content.
	SignedAttributes []string `json:"signed_attributes"`
	// Anchor is the trusted certificate that vouches for it; empty without --trust.
	Anchor string `json:"anchor"`
}

// Info is a signed message: the result of verify, and of policy show.
type Info struct {
	File string `json:"file"`
	// Valid: trusted, and a valid text. Always false in show, which trusts nobody.
	Valid   bool             `json:"valid"`
	Errno   string           `json:"errno"`
	Message string           `json:"message"`
	Name    string           `json:"name"`
	Version string           `json:"version"`
	SHA256  string           `json:"sha256"`
	Size    int              `json:"size"`
	Signers []envelopeSigner `json:"signers"`
	// Policy is the text; in policy show only.
	Policy string `json:"policy,omitempty"`
}

// Verify is the command that says whether a signed text would be loaded.
func (r *Room) Verify() *cobra.Command {
	var paths []string
	cmd := &cobra.Command{
		Use: "verify --trust PATH FILE.p7b", Short: "Say whether a signed " + r.noun + " would be loaded", Args: ui.Exactly(1, "one FILE.p7b"),
		Long: "Verify checks signature, trust and text, as is done where it is loaded. PATH is a certificate or\n" +
			"a directory of them; --trust may be repeated.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(paths) == 0 {
				return ui.Usage(cmd, "--trust is needed: whom to believe")
			}
			return r.runVerify(args[0], paths)
		},
	}
	cmd.Flags().StringArrayVar(&paths, "trust", nil, "`path` of trusted certificates: a file, or a directory of them; may be repeated")
	return cmd
}

func (r *Room) runVerify(file string, paths []string) error {
	ring, skipped, err := trust.Read(paths...)
	if err != nil {
		return err
	}
	for _, s := range skipped {
		r.WarnOf("", "%s", plain.Error(s))
	}
	raw, err := r.Read(file)
	if err != nil {
		return err
	}
	info, err := r.verified(file, raw, ring)
	if r.JSON {
		if perr := r.PrintJSON(info); perr != nil {
			return perr
		}
		if err != nil {
			return ui.ErrSaid
		}
		return nil
	}
	if err != nil {
		err = fmt.Errorf("%w [%s]", err, info.Errno)
		if len(ring.Certificates()) == 0 {
			return ui.Hinted(fmt.Errorf("%s: %w", plain.Name(file), err), "no certificate is in %s; in a directory, names end in .pem, .crt, .cer or .der",
				plain.Names(paths))
		}
		return r.Misplaced(file, raw, err)
	}
	return r.Emit([]byte(fmt.Sprintf("%s: ok: %s %s\n%s", plain.Name(file), plain.Name(info.Name), info.Version, info.Text())))
}

// verified checks a message and describes it as far as it could be read.
func (r *Room) verified(file string, raw []byte, ring *sign.Keyring) (Info, error) {
	e, err := sign.Verify(raw, ring)
	if err != nil {
		info := Info{File: file, SHA256: sum(raw), Size: len(raw), Signers: []envelopeSigner{}}
		if peek, perr := sign.Inspect(raw); perr == nil {
			info = r.Describe(file, raw, peek)
		}
		info.Errno, info.Message = ui.Symbol(err), plain.Error(err)
		return info, err
	}
	info := r.Describe(file, raw, e)
	if _, err = r.Parse(e.Content); err != nil {
		info.Errno, info.Message = ui.Symbol(err), plain.Error(err)
		return info, fmt.Errorf("signature is good, %s is not: %w", r.noun, err)
	}
	info.Valid = true
	return info, nil
}

// Describe says what is in a message, whoever signed it.
func (r *Room) Describe(file string, raw []byte, e *sign.Envelope) Info {
	info := Info{File: file, SHA256: sum(raw), Size: len(raw), Signers: []envelopeSigner{}}
	if head, err := r.Parse(e.Content); err == nil {
		info.Name, info.Version = head.Name, head.Version
	}
	for _, s := range e.Signers {
		es := envelopeSigner{Issuer: s.Issuer, KeyID: hex.EncodeToString(s.KeyID), Algorithm: s.SignatureAlgorithm.String(),
			SignedAttributes: attributeNames(s)}
		if s.Serial != nil {
			es.Serial = s.Serial.Text(16)
		}
		if s.Certificate != nil {
			es.Subject = s.Certificate.Subject.String()
		}
		if s.Anchor != nil {
			es.Anchor = s.Anchor.Subject.String()
		}
		info.Signers = append(info.Signers, es)
	}
	return info
}

// Text is the description of a message below its first line.
func (i Info) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  message  %d bytes, sha256:%s\n", i.Size, i.SHA256)
	for _, s := range i.Signers {
		fmt.Fprintf(&b, "  signer   %s, %s\n", plain.Text(s.name()), s.Algorithm)
		if len(s.SignedAttributes) > 0 {
			fmt.Fprintf(&b, "  signs    besides the content: %s\n", strings.Join(s.SignedAttributes, ", "))
		}
		if s.Anchor != "" {
			fmt.Fprintf(&b, "  trusted  by %s\n", plain.Text(s.Anchor))
		}
	}
	return b.String()
}

// name is the best name of a signer that the message gives.
func (s envelopeSigner) name() string {
	switch {
	case s.Subject != "":
		return s.Subject
	case s.KeyID != "":
		return "key " + s.KeyID
	}
	return fmt.Sprintf("serial %s of %s", s.Serial, s.Issuer)
}

// isPEM reports whether raw is PEM with a message in it.
func isPEM(raw []byte) bool {
	return bytes.HasPrefix(raw, []byte("-----BEGIN PKCS7-----")) || bytes.HasPrefix(raw, []byte("-----BEGIN CMS-----"))
}

// Misplaced says which file an error is about, and whether that is a text, PEM, or a message
// with something else where a signed text of the language belongs.
func (r *Room) Misplaced(file string, raw []byte, err error) error {
	return r.misplaced(file, raw, err, signedHint)
}

// NotLoaded is Misplaced for a file that was to be loaded: it says what loads the other thing.
func (r *Room) NotLoaded(file string, raw []byte, err error) error {
	return r.misplaced(file, raw, err, func(file, other string) string {
		return fmt.Sprintf("%s holds a signed %s: ipe %s load %s", plain.Name(file), other, other, hint.File(file))
	})
}

func (r *Room) misplaced(file string, raw []byte, err error, holds func(file, other string) string) error {
	err = fmt.Errorf("%s: %w", plain.Name(file), err)
	if isPEM(raw) {
		return ui.Hinted(err, "a kernel takes DER: openssl cms -cmsout -inform PEM -in %s -outform DER -out NEW.p7b", hint.File(file))
	}
	for _, l := range languages() {
		if _, perr := l.parse(raw); perr == nil {
			return ui.Hinted(err, "%s is an unsigned %s text: ipe %s sign --key KEY --cert CERT %s", plain.Name(file), l.noun, l.noun, hint.File(file))
		}
	}
	if other := r.signed(raw); other != r.noun {
		return ui.Hinted(err, "%s", holds(file, other))
	}
	return err
}
