// Package pkcs11uri reads the names of keys on tokens: "pkcs11:" URIs of RFC 7512.
//
// It is strict. A URI that is wrong, or asks for what this program does not look
// at, would otherwise name another key than its author meant. No error quotes the
// value of an attribute, for one of them is a PIN.
package pkcs11uri

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Scheme is what such a URI begins with.
const Scheme = "pkcs11:"

// maxLen bounds a URI, in bytes. Every attribute of a token is short.
const maxLen = 8 << 10

// Attributes of the path that say which library and token is meant, and those of
// the query.
const (
	Token               = "token"
	Manufacturer        = "manufacturer"
	Serial              = "serial"
	Model               = "model"
	LibraryManufacturer = "library-manufacturer"
	LibraryDescription  = "library-description"
	LibraryVersion      = "library-version"
	SlotManufacturer    = "slot-manufacturer"
	SlotDescription     = "slot-description"
	SlotID              = "slot-id"
	Object              = "object"
	ID                  = "id"
	Type                = "type"
	PINSource           = "pin-source"
	PINValue            = "pin-value"
	ModulePath          = "module-path"
)

// pathNames and queryNames are all that is known; module-name would need a
// registry of modules, and is not.
var (
	pathNames = []string{Token, Manufacturer, Serial, Model, LibraryManufacturer, LibraryDescription, LibraryVersion,
		SlotManufacturer, SlotDescription, SlotID, Object, ID, Type}
	queryNames = []string{PINSource, PINValue, ModulePath}
)

// ErrSyntax is wrapped by every error of Parse.
var ErrSyntax = errors.New("not a URI of a PKCS#11 key (RFC 7512)")

// URI is what a URI says, decoded.
type URI struct {
	attributes map[string]string
	slot       uint64
}

// Is reports whether text is meant to be such a URI, right or wrong.
func Is(text string) bool { return strings.HasPrefix(text, Scheme) }

// Parse reads a URI. Errors wrap ErrSyntax.
func Parse(text string) (*URI, error) {
	u := &URI{attributes: map[string]string{}}
	rest, ok := strings.CutPrefix(text, Scheme)
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: does not begin with %s", ErrSyntax, Scheme)
	case len(text) > maxLen:
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrSyntax, maxLen)
	}
	path, query, hasQuery := strings.Cut(rest, "?")
	if err := u.part(path, ";", pathChars, pathNames); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	if hasQuery {
		if err := u.part(query, "&", queryChars, queryNames); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
		}
	}
	if err := u.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	return u, nil
}

// Get returns the value of an attribute and whether it is there.
func (u *URI) Get(name string) (string, bool) {
	v, ok := u.attributes[name]
	return v, ok
}

// Slot returns slot-id, and whether it is there.
func (u *URI) Slot() (id uint64, ok bool) {
	_, ok = u.attributes[SlotID]
	return u.slot, ok
}

// String returns the URI without the PIN, in a form that Parse reads.
func (u *URI) String() string {
	return Scheme + u.format(pathNames, ";", pathChars, "") + u.format(queryNames, "&", queryChars, "?")
}

func (u *URI) format(names []string, separator, chars, before string) string {
	var parts []string
	for _, name := range names {
		if v, ok := u.attributes[name]; ok && name != PINValue {
			parts = append(parts, name+"="+encode(v, chars, name == ID))
		}
	}
	if parts == nil {
		return ""
	}
	return before + strings.Join(parts, separator)
}

// The characters that stand for themselves in values (RFC 7512, section 2.3): the
// unreserved ones of RFC 3986, and some that mean nothing in path or query.
const (
	unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	pathChars  = unreserved + ":[]@!$'()*+,=&"
	queryChars = unreserved + ":[]@!$'()*+,=/?|"
)

// part reads the attributes of path or query.
func (u *URI) part(text, separator, chars string, names []string) error {
	if text == "" {
		return nil
	}
	for field := range strings.SplitSeq(text, separator) {
		name, value, ok := strings.Cut(field, "=")
		switch {
		case !ok && slices.Contains(names, name):
			return fmt.Errorf("attribute %s without a value", name)
		case !ok:
			return errors.New("an attribute without a value")
		case !slices.Contains(names, name):
			return unknown(name)
		}
		if _, twice := u.attributes[name]; twice {
			return fmt.Errorf("attribute %s twice", name)
		}
		v, err := decode(value, chars)
		if err != nil {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
		u.attributes[name] = v
	}
	return nil
}

// unknown shows the name of an attribute if it is surely no more than a name.
func unknown(name string) error {
	switch {
	case slices.Contains(pathNames, name):
		return fmt.Errorf("attribute %s stands before the question mark", name)
	case slices.Contains(queryNames, name):
		return fmt.Errorf("attribute %s stands behind a question mark", name)
	case name == "" || len(name) > 40 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz-") != "":
		return errors.New("an attribute that is not known")
	}
	return fmt.Errorf("attribute %s is not known", name)
}

// decode undoes percent encoding.
func decode(text, chars string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '%':
			if i+2 >= len(text) {
				return "", errors.New("% without two hex digits")
			}
			raw, err := hex.DecodeString(text[i+1 : i+3])
			if err != nil {
				return "", errors.New("% without two hex digits")
			}
			b.Write(raw)
			i += 2
		case strings.IndexByte(chars, c) < 0:
			return "", errors.New("a character that must be percent-encoded")
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

func encode(value, chars string, all bool) string {
	var b strings.Builder
	for i := range len(value) {
		if c := value[i]; all || strings.IndexByte(chars, c) < 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// check looks at the values.
func (u *URI) check() error {
	for _, name := range slices.Concat(pathNames, queryNames) {
		v, ok := u.attributes[name]
		switch {
		case !ok || name == ID && v != "":
		case v == "":
			return fmt.Errorf("attribute %s is empty", name)
		case !utf8.ValidString(v) || strings.ContainsRune(v, 0):
			return fmt.Errorf("attribute %s is not text", name)
		}
	}
	if t, ok := u.attributes[Type]; ok && t != "private" {
		return errors.New("attribute type: only a private key signs (type=private)")
	}
	if s, ok := u.attributes[SlotID]; ok {
		var err error
		if u.slot, err = strconv.ParseUint(s, 10, strconv.IntSize); err != nil || s != strconv.FormatUint(u.slot, 10) {
			return errors.New("attribute slot-id is not a number")
		}
	}
	if m, ok := u.attributes[ModulePath]; ok && !strings.HasPrefix(m, "/") {
		return errors.New("attribute module-path is not an absolute path")
	}
	return u.checkPIN()
}

// checkPIN refuses commands that give the PIN, and more than one way to it.
func (u *URI) checkPIN() error {
	_, ok := u.attributes[PINSource]
	if _, both := u.attributes[PINValue]; both && ok {
		return errors.New("attributes pin-source and pin-value exclude each other")
	}
	if ok && u.PINFile() == "" {
		return errors.New("attribute pin-source is not file:/path, nor an absolute path")
	}
	return nil
}

// PINFile returns the path in pin-source, or nothing.
func (u *URI) PINFile() string {
	path := strings.TrimPrefix(u.attributes[PINSource], "file:")
	if rest, ok := strings.CutPrefix(path, "//"); ok { // file:///path: a URI with an empty host
		path = rest
	}
	if !strings.HasPrefix(path, "/") {
		return ""
	}
	return path
}
