package manifest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/ipe-linux/ipe/digest"
)

// Parse reads a manifest and calls each for its entries, in their order. Errors say the
// line; they are those of each, of r, [ErrEmpty], [ErrTooLarge], or of a line. What came
// before a bad line has been passed on.
func Parse(r io.Reader, each func(Entry) error) error { return parse(r, MaxSize, each) }

// parse is Parse with another limit.
func parse(r io.Reader, most int64, each func(Entry) error) error {
	limited := &io.LimitedReader{R: r, N: most + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, MaxLine)
	seen := map[string]int{}
	n := 0
	for lines.Scan() {
		n++
		e, err := ParseEntry(lines.Bytes())
		if err == nil {
			if before, ok := seen[Key(e.Path)]; ok {
				err = fmt.Errorf("%q is on line %d already", e.Path, before)
			}
			seen[Key(e.Path)] = n
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
		return fmt.Errorf("line %d: longer than %d bytes: not a line of a manifest", n+1, MaxLine)
	case err != nil:
		return fmt.Errorf("line %d: %w", n+1, err)
	case limited.N <= 0:
		return fmt.Errorf("%w (more than %d bytes)", ErrTooLarge, most)
	case n == 0:
		return ErrEmpty
	}
	return nil
}

// permissions match the mode of an entry.
var permissions = regexp.MustCompile(`^[0-7]{4}$`)

// ParseEntry reads one line, without its end.
func ParseEntry(line []byte) (Entry, error) {
	if !utf8.Valid(line) {
		return Entry{}, errors.New("not UTF-8")
	}
	var raw struct {
		Path   string `json:"path"`
		Digest string `json:"digest"`
		Size   int64  `json:"size"`
		Mode   string `json:"mode"`
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&raw); err != nil {
		return Entry{}, fault(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Entry{}, errors.New("more than one object")
	}
	switch {
	case raw.Path == "" || raw.Size < 0:
		return Entry{}, errors.New("no path, or a negative size")
	case !permissions.MatchString(raw.Mode):
		return Entry{}, fmt.Errorf("mode %q: not four octal digits", raw.Mode)
	}
	if err := CheckPath(raw.Path); err != nil {
		return Entry{}, err
	}
	d, err := digest.Parse(raw.Digest)
	if err != nil {
		return Entry{}, err
	}
	if size, ok := digest.AlgorithmSize(d.Algorithm()); !ok || size != d.Size() {
		return Entry{}, fmt.Errorf("digest %q: no such algorithm, or of another length", raw.Digest)
	}
	return Entry{Path: raw.Path, Digest: d, Size: raw.Size, Mode: raw.Mode}, nil
}

// fault says what is wrong with a line, for the decoder's words name its own types.
func fault(err error) error {
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
