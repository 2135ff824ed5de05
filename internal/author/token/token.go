// Package token signs with keys that never leave their PKCS#11 token.
//
// A token is reached through its vendor's shared library, which a static program
// cannot load, and which may crash. So another program does that, ipe-pkcs11, and
// this package starts it and talks to it: one JSON object a line, a [Request] on its
// standard input, a [Reply] on its standard output. Requests come in the order open,
// login, key, sign; the program ends with its input. The PIN goes nowhere but through
// that pipe.
package token

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds a line of the protocol, in bytes. Certificates are the longest that
// it carries.
const maxLine = 1 << 20

// Operations of a Request.
const (
	OpOpen  = "open"
	OpLogin = "login"
	OpKey   = "key"
	OpSign  = "sign"
)

// Request is what ipe asks for.
type Request struct {
	Op string `json:"op"`
	// Module is the library's path and URI names the key, without a PIN; of open.
	Module string `json:"module,omitempty"`
	URI    string `json:"uri,omitempty"`
	// PIN is for login; empty if the token wants none.
	PIN string `json:"pin,omitempty"`
	// Digest is what sign signs, of the hash of that name: sha256, sha384 or sha512.
	Hash   string `json:"hash,omitempty"`
	Digest []byte `json:"digest,omitempty"`
}

// Reply is the answer: an error, or what was asked for.
type Reply struct {
	Error     *Error `json:"error,omitempty"`
	Token     *Token `json:"token,omitempty"`     // to open
	Key       *Key   `json:"key,omitempty"`       // to key
	Signature []byte `json:"signature,omitempty"` // to sign: PKCS#1 v1.5, or ECDSA in ASN.1
}

// Token is the one token that a URI names.
type Token struct {
	Label string `json:"label"`
	// Login: its keys are for those who know the PIN.
	Login bool `json:"login"`
	// LastTry: one more wrong PIN locks it.
	LastTry bool `json:"last_try"`
}

// Key is the public side of the one key that a URI names.
type Key struct {
	// Public is in PKIX form, and empty if the token does not show it. Certificates are those on the token that bear the key's
	// id, in DER.
	Public       []byte   `json:"public,omitempty"`
	Certificates [][]byte `json:"certificates"`
}

// Kind says what went wrong.
type Kind string

// Kinds of errors.
const (
	Module      Kind = "module"      // the library cannot be loaded
	Died        Kind = "died"        // the program ended, by a fault of the library most likely
	Slow        Kind = "slow"        // it did not answer
	NoToken     Kind = "no token"    // none is as the URI says
	Tokens      Kind = "tokens"      // several are
	NoPIN       Kind = "no pin"      // a PIN is needed
	WrongPIN    Kind = "wrong pin"   // not that one
	LockedPIN   Kind = "locked pin"  // too many wrong ones
	NoKey       Kind = "no key"      // none is as the URI says
	Keys        Kind = "keys"        // several are
	Unsupported Kind = "unsupported" // the key or the token is of another kind
	Other       Kind = "other"       // whatever else the token says
)

// Error is why something could not be done.
type Error struct {
	Kind Kind   `json:"kind"`
	Text string `json:"text"`
}

func (e *Error) Error() string { return e.Text }

// Errorf returns an Error.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{kind, fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of an error, or nothing.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// Lines reads one value a line, strictly.
type Lines struct{ scanner *bufio.Scanner }

// NewLines reads from r.
func NewLines(r io.Reader) *Lines {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	return &Lines{s}
}

// Next reads a line into v. After the last one it returns io.EOF.
func (l *Lines) Next(v any) error {
	if !l.scanner.Scan() {
		if err := l.scanner.Err(); errors.Is(err, bufio.ErrTooLong) {
			return fmt.Errorf("read line: longer than %d bytes", maxLine)
		} else if err != nil {
			return fmt.Errorf("read line: %w", err)
		}
		return io.EOF
	}
	dec := json.NewDecoder(bytes.NewReader(l.scanner.Bytes()))
	dec.DisallowUnknownFields()
	// What is wrong with a line is not told by its content: it may hold a PIN.
	if dec.Decode(v) != nil {
		return errLine
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errLine
	}
	return nil
}

var errLine = errors.New("read line: not the object that is expected")

// WriteLine writes v as a line.
func WriteLine(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write line: %w", err)
	}
	if len(b) >= maxLine {
		return fmt.Errorf("write line: %d bytes, more than %d", len(b), maxLine)
	}
	if _, err := w.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write line: %w", err)
	}
	return nil
}
