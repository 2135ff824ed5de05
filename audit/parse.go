package audit

import (
	"fmt"
	"strings"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/policy"
)

// ParseText reads the text of a record of the given type, the part behind
// "audit(…): ", as any generation writes it. The error is ErrNotIPE or wraps a
// *SyntaxError.
func ParseText(t Type, text string) (Record, error) {
	s := scanner{line: text}
	r := s.record(t)
	s.end()
	return s.result(r)
}

// ParseMessage reads a record as the kernel hands it over, over netlink: the type
// apart, and the payload "audit(…): …". The errors are those of Parse.
func ParseMessage(t Type, payload string) (Header, Record, error) {
	s := scanner{line: payload}
	h := s.stamp()
	r := s.record(t)
	s.end()
	r, err := s.result(r)
	if err != nil {
		return Header{}, nil, err
	}
	return h, r, nil
}

// result gives the record or the reason why there is none.
func (s *scanner) result(r Record) (Record, error) {
	switch err := s.failed(); {
	case r == nil:
		return nil, ErrNotIPE
	case err != nil:
		return nil, fmt.Errorf("parse %v: %w", r.Type(), err)
	}
	return r, nil
}

// record consumes a record; nil if it is none of IPE.
func (s *scanner) record(t Type) Record {
	s.start = s.pos
	switch t {
	case TypeAccess:
		return s.access()
	case TypeConfigChange:
		return s.configChange()
	case TypePolicyLoad:
		return s.policyLoad()
	case TypeStatus:
		if strings.Contains(s.rest(), " lsm=ipe ") {
			return s.status()
		}
	}
	return nil
}

func (s *scanner) access() (a Access) {
	s.lit("ipe_op=")
	a.Op = parsed(s, s.word, "an operation", recordedOp)
	s.lit(" ipe_hook=")
	a.Hook = parsed(s, s.word, "a hook", eval.ParseHook)
	s.lit(" enforcing=")
	a.Enforcing = s.flag()
	s.lit(" pid=")
	a.PID = uint32(s.number(32))
	s.lit(" comm=")
	a.Comm = s.untrusted()
	a.File = s.file()
	s.lit(` rule="`)
	a.Rule = s.statement()
	s.lit(`"`)
	return a
}

func (s *scanner) file() *File {
	s.lit(" path=")
	if s.skip("?") {
		s.lit(" dev=? ino=?")
		return nil
	}
	f := &File{Path: s.untrusted()}
	s.lit(" dev=")
	if f.NoInode = s.skip("?"); f.NoInode {
		s.lit(" ino=?")
		return f
	}
	f.Dev = s.untrusted()
	s.lit(" ino=")
	f.Ino = s.number(64)
	return f
}

func (s *scanner) configChange() (c ConfigChange) {
	c.Old, c.New = s.policyID(oldKeys), s.policyID(newKeys)
	c.Subject = s.subject()
	s.lit(" lsm=ipe res=1")
	return c
}

func (s *scanner) policyLoad() (l PolicyLoad) {
	l.Policy = s.policyID(loadKeys)
	l.Subject = s.subject()
	s.lit(" lsm=ipe res=")
	from := s.pos
	success := s.flag()
	if s.skip(" errno=") && !s.skip("0") {
		s.lit("-")
		l.Errno = uint16(s.number(16))
	}
	if success != (l.Errno == 0) {
		s.failAt(from, "want res=1 without an error, or res=0 with its number")
	}
	return l
}

func (s *scanner) status() (st Status) {
	s.lit("enforcing=")
	st.Enforcing = s.flag()
	s.lit(" old_enforcing=")
	st.OldEnforcing = s.flag()
	st.Subject = s.subject()
	s.lit(statusEnd)
	return st
}

// policyID consumes what is said of a policy; nil if that is nothing.
func (s *scanner) policyID(k idKeys) *PolicyID {
	if !s.key(k.name) {
		return nil
	}
	if s.skip("?") {
		s.lit(k.version + "?")
		s.lit(k.unknownDigest())
		return nil
	}
	p := &PolicyID{Name: s.name()}
	s.lit(k.version)
	p.Version = s.version()
	s.lit(k.digest)
	p.Digest = s.sum()
	return p
}

// sum consumes the digits of a SHA-256.
func (s *scanner) sum() (sum [32]byte) {
	raw := s.digits()
	if copy(sum[:], raw); len(raw) != len(sum) {
		s.failAt(s.pos, "want %d hex digits", 2*len(sum))
	}
	return sum
}

// name consumes the name of a policy, in quotes and with quotes in it. It has no
// blank, so the first blank follows the closing quote.
func (s *scanner) name() string {
	s.lit(`"`)
	word := s.take(strings.IndexByte(s.rest(), ' '))
	name, ok := strings.CutSuffix(word, `"`)
	if !ok {
		s.failAt(s.pos, `want a quote that ends the name`)
	}
	return name
}

func (s *scanner) version() (v policy.Version) {
	v.Major = uint16(s.number(16))
	s.lit(".")
	v.Minor = uint16(s.number(16))
	s.lit(".")
	v.Rev = uint16(s.number(16))
	return v
}

func (s *scanner) subject() (sub Subject) {
	if !s.key("auid=") {
		s.lit(" auid=")
	}
	sub.AUID = uint32(s.number(32))
	s.lit(" ses=")
	sub.Session = uint32(s.number(32))
	return sub
}
