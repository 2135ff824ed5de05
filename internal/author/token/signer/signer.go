//go:build cgo

// Package signer is the side of the token protocol that loads the vendor's module.
// It needs cgo, and runs in a program of its own, which a module may crash.
package signer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ipe-linux/ipe/internal/author/pkcs11uri"
	"github.com/ipe-linux/ipe/internal/author/token"
)

// grace is how long a module may go on when nobody waits for it any longer.
const grace = 2 * time.Second

// Serve answers requests until there are no more. A module that then hangs is left
// by ending the process.
func Serve(in io.Reader, out io.Writer) error {
	s := &session{}
	done := make(chan struct{})
	defer close(done)
	defer s.close()
	for q := range requests(token.NewLines(in), done) {
		if q.err != nil {
			return q.err
		}
		reply, err := s.answer(q.Request)
		if err != nil {
			reply = &token.Reply{Error: errorOf(err)}
		}
		if err := token.WriteLine(out, reply); err != nil {
			return err
		}
	}
	return nil
}

type request struct {
	token.Request
	err error
}

// requests reads while the module works, so that the end of input is seen; then it
// waits for done, but not for long.
func requests(lines *token.Lines, done <-chan struct{}) <-chan request {
	c := make(chan request)
	go func() {
		for {
			var q request
			q.err = lines.Next(&q.Request)
			if errors.Is(q.err, io.EOF) {
				break
			}
			select {
			case c <- q:
			case <-done:
				return
			}
			if q.err != nil {
				break
			}
		}
		close(c)
		select {
		case <-done:
		case <-time.After(grace):
			os.Exit(1)
		}
	}()
	return c
}

func (s *session) answer(q token.Request) (*token.Reply, error) {
	switch q.Op {
	case token.OpOpen:
		u, err := pkcs11uri.Parse(q.URI)
		if err != nil {
			return nil, err
		}
		t, err := s.open(q.Module, u)
		return &token.Reply{Token: t}, err
	case token.OpLogin:
		return &token.Reply{}, s.login(q.PIN)
	case token.OpKey:
		k, err := s.find()
		return &token.Reply{Key: k}, err
	case token.OpSign:
		sig, err := s.sign(q.Hash, q.Digest)
		return &token.Reply{Signature: sig}, err
	}
	return nil, token.Errorf(token.Other, "no such request")
}

// errorOf keeps an error's kind.
func errorOf(err error) *token.Error {
	var e *token.Error
	if errors.As(err, &e) {
		return &token.Error{Kind: e.Kind, Text: err.Error()}
	}
	return token.Errorf(token.Other, "%v", err)
}

var errOrder = fmt.Errorf("requests out of order: %w", token.Errorf(token.Other, "open, login, key, sign"))
