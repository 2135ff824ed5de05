package files

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/controlrpc"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/internal/trust"
	"github.com/ipe-linux/ipe/sign"
)

// manifestEntry is one line of a manifest.
type manifestEntry struct {
	Path   string `json:"path"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	Mode   string `json:"mode"` // permissions, in octal
}

// listed is an entry that was read.
type listed struct {
	manifestEntry
	digest digest.Digest
}

const (
	// maxManifestLine bounds a line; paths have 4096 bytes at most.
	maxManifestLine = 64 << 10
	// maxManifest bounds a manifest, in bytes: a million files. A signed one is held
	// in memory, so that what is read is what was verified.
	maxManifest = 256 << 20
	// signatureSuffix is what the name of a manifest has more for its signature.
	signatureSuffix = ".p7s"
)

var errNoFiles = errors.New("the manifest names no file")

// manifestSource says where a manifest is and whom to believe.
type manifestSource struct {
	file, signature string
	trust           []string
}

func (s *manifestSource) flags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&s.file, "manifest", "", "a `file` that ipe fsverity manifest wrote, - for standard input")
	fl.StringVar(&s.signature, "signature", "", "the manifest's signature (default its name and "+signatureSuffix+")")
	fl.StringArrayVar(&s.trust, "trust", nil, "certificates that the manifest must be signed by: file or directory")
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
func (a *app) readManifest(s manifestSource, each func(listed) error) (signer string, err error) {
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
	if err := parseManifest(in, each); err != nil {
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
		name = s.file + signatureSuffix
	}
	message, err := a.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", ui.Hinted(fmt.Errorf("%s is not signed: %w", plain.Name(s.file), err), "--signature names a signature that is elsewhere; without --trust, none is needed")
	}
	if err != nil {
		return nil, "", err
	}
	if text, err = a.ReadUpTo(s.file, maxManifest); err != nil {
		return nil, "", err
	}
	e, err := sign.VerifyDetached(message, text, ring)
	if err != nil {
		return nil, "", manifestHint(fmt.Errorf("%s: signature in %s: %w [%s]", plain.Name(s.file), plain.Name(name), err, controlrpc.Symbol(err)), len(ring.Certificates()), s.trust)
	}
	return text, signerOf(e), nil
}

func manifestHint(err error, anchors int, trusted []string) error {
	switch {
	case anchors == 0:
		return ui.Hinted(err, "no certificate is in %s; in a directory, names end in .pem, .crt, .cer or .der", strings.Join(trusted, ", "))
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

// parseManifest reads a manifest strictly: at least one line, no unknown fields, no
// line without a digest, no path twice, none that leads elsewhere.
func parseManifest(r io.Reader, each func(listed) error) error {
	limited := &io.LimitedReader{R: r, N: maxManifest + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxManifestLine)
	seen := map[string]int{}
	n := 0
	for lines.Scan() {
		n++
		e, err := parseManifestLine(lines.Bytes())
		if err == nil {
			if before, ok := seen[pathKey(e.Path)]; ok {
				err = fmt.Errorf("%q is on line %d already", e.Path, before)
			}
			seen[pathKey(e.Path)] = n
		}
		if err == nil {
			err = each(e)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("line %d: longer than %d bytes: not a line of a manifest", n+1, maxManifestLine)
	case err != nil:
		return fmt.Errorf("line %d: %w", n+1, err)
	case limited.N <= 0:
		return fmt.Errorf("%w (more than %d bytes)", unix.EFBIG, maxManifest)
	case n == 0:
		return errNoFiles
	}
	return nil
}

// permissions match the mode of an entry.
var permissions = regexp.MustCompile(`^[0-7]{4}$`)

// manifestFault says what is wrong with a line, for the decoder's words name its own types.
func manifestFault(err error) error {
	var kind *json.UnmarshalTypeError
	name, unknown := strings.CutPrefix(err.Error(), "json: unknown field ")
	switch {
	case unknown:
		return fmt.Errorf("unknown field %s", name)
	case errors.As(err, &kind) && kind.Field != "":
		return fmt.Errorf("field %q: it cannot be a %s", kind.Field, kind.Value)
	default:
		return errors.New("not a JSON object with path, digest, size and mode")
	}
}

func parseManifestLine(line []byte) (e listed, err error) {
	if !utf8.Valid(line) {
		return e, errors.New("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e.manifestEntry); err != nil {
		return e, manifestFault(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return e, errors.New("more than one object")
	}
	switch {
	case e.Path == "" || e.Size < 0:
		return e, errors.New("no path, or a negative size")
	case !permissions.MatchString(e.Mode):
		return e, fmt.Errorf("mode %q: not four octal digits", e.Mode)
	}
	if err := checkPath(e.Path); err != nil {
		return e, err
	}
	if e.digest, err = digest.Parse(e.Digest); err != nil {
		return e, err
	}
	if size, ok := digest.AlgorithmSize(e.digest.Algorithm()); !ok || size != e.digest.Size() {
		return e, fmt.Errorf("digest %q: no such algorithm, or of another length", e.Digest)
	}
	return e, nil
}
