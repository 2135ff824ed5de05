package policies

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
	"github.com/ipe-linux/ipe/policy"
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

// envelopeInfo is the result of policy verify and policy show.
type envelopeInfo struct {
	File string `json:"file"`
	// Valid: trusted and a valid policy. Always false in show, which trusts nobody.
	Valid   bool             `json:"valid"`
	Errno   string           `json:"errno"`
	Message string           `json:"message"`
	Name    string           `json:"name"`
	Version string           `json:"version"`
	SHA256  string           `json:"sha256"`
	Size    int              `json:"size"`
	Signers []envelopeSigner `json:"signers"`
	// Policy is the text; in show only.
	Policy string `json:"policy,omitempty"`
}

func (a *app) verify() *cobra.Command {
	var paths []string
	cmd := &cobra.Command{
		Use: "verify --trust PATH FILE.p7b", Short: "Say whether a signed policy would be loaded", Args: ui.Exactly(1, "one FILE.p7b"),
		Long: "Verify checks signature, trust and policy text, as iped and a kernel with IPE do. PATH is a\n" +
			"certificate or a directory of them; --trust may be repeated.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(paths) == 0 {
				return ui.Usage(cmd, "--trust is needed: whom to believe")
			}
			return a.runVerify(args[0], paths)
		},
	}
	cmd.Flags().StringArrayVar(&paths, "trust", nil, "trusted certificates: file or directory")
	return cmd
}

func (a *app) runVerify(file string, paths []string) error {
	ring, skipped, err := trust.Read(paths...)
	if err != nil {
		return err
	}
	for _, s := range skipped {
		a.WarnOf("", "%s", plain.Error(s))
	}
	raw, err := a.Read(file)
	if err != nil {
		return err
	}
	info, err := verified(file, raw, ring)
	if a.JSON {
		if perr := a.PrintJSON(info); perr != nil {
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
		return unsignedHint(file, raw, err)
	}
	return a.Emit([]byte(fmt.Sprintf("%s: ok: %s %s\n%s", plain.Name(file), plain.Name(info.Name), info.Version, info.text())))
}

// verified checks a message and describes it as far as it could be read.
func verified(file string, raw []byte, ring *sign.Keyring) (envelopeInfo, error) {
	e, err := sign.Verify(raw, ring)
	if err != nil {
		info := envelopeInfo{File: file, SHA256: sum(raw), Size: len(raw), Signers: []envelopeSigner{}}
		if peek, perr := sign.Inspect(raw); perr == nil {
			info = describe(file, raw, peek)
		}
		info.Errno, info.Message = ui.Symbol(err), plain.Error(err)
		return info, err
	}
	info := describe(file, raw, e)
	if _, err = policy.Parse(e.Content); err != nil {
		info.Errno, info.Message = ui.Symbol(err), plain.Error(err)
		return info, fmt.Errorf("signature is good, policy is not: %w", err)
	}
	info.Valid = true
	return info, nil
}

func describe(file string, raw []byte, e *sign.Envelope) envelopeInfo {
	info := envelopeInfo{File: file, SHA256: sum(raw), Size: len(raw), Signers: []envelopeSigner{}}
	if p, err := policy.Parse(e.Content); err == nil {
		info.Name, info.Version = p.Name, p.Version.String()
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

// text is the description of a message below its first line.
func (i envelopeInfo) text() string {
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

func (a *app) show() *cobra.Command {
	var textOnly bool
	cmd := &cobra.Command{
		Use: "show FILE.p7b", Short: "Show what a signed policy contains, without believing it", Args: ui.Exactly(1, "one FILE.p7b"),
		RunE: func(_ *cobra.Command, args []string) error { return a.runShow(args[0], textOnly) },
	}
	cmd.Flags().BoolVar(&textOnly, "text", false, "print the policy text alone, byte for byte")
	return cmd
}

func (a *app) runShow(file string, textOnly bool) error {
	raw, err := a.Read(file)
	if err != nil {
		return err
	}
	e, err := sign.Inspect(raw)
	if err != nil {
		return unsignedHint(file, raw, err)
	}
	if textOnly {
		return a.EmitText(e.Content)
	}
	info := describe(file, raw, e)
	info.Policy = string(e.Content)
	refused := e.Refused
	if _, err := policy.Parse(e.Content); err != nil && refused == nil {
		refused = fmt.Errorf("not a valid policy: %w", err)
	}
	if refused != nil {
		info.Errno, info.Message = ui.Symbol(refused), plain.Error(refused)
	}
	return a.Result(info, "%s: %s\n%s\n%s", plain.Name(file), info.title(), info.text(), printableLines(info.Policy))
}

// isPEM reports whether raw is PEM with a message in it.
func isPEM(raw []byte) bool {
	return bytes.HasPrefix(raw, []byte("-----BEGIN PKCS7-----")) || bytes.HasPrefix(raw, []byte("-----BEGIN CMS-----"))
}

// unsignedHint says which file an error is about, and whether that is a text or
// PEM where a signed policy belongs.
func unsignedHint(file string, raw []byte, err error) error {
	err = fmt.Errorf("%s: %w", plain.Name(file), err)
	if isPEM(raw) {
		return ui.Hinted(err, "a kernel takes DER: openssl cms -cmsout -inform PEM -in %s -outform DER -out NEW.p7b", hint.File(file))
	}
	if _, perr := policy.Parse(raw); perr == nil {
		return ui.Hinted(err, "%s is an unsigned policy text: ipe policy sign --key KEY --cert CERT %s", plain.Name(file), hint.File(file))
	}
	return err
}

func (i envelopeInfo) title() string {
	if i.Errno != "" {
		return "no kernel takes this: " + plain.Text(i.Message) + " [" + i.Errno + "]"
	}
	return plain.Name(i.Name) + " " + i.Version + " (signature not checked)"
}

func printableLines(s string) string {
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	for i, l := range lines {
		lines[i] = "    " + ui.Masked(strings.TrimSuffix(l, "\r"))
	}
	return strings.Join(lines, "\n") + "\n"
}
