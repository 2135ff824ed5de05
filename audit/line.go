package audit

import (
	"strings"
	"time"
)

// Header is what precedes a record's text.
type Header struct {
	// Time is when the event happened, in whole milliseconds.
	Time time.Time
	// Serial numbers events since boot; records of one event share it.
	Serial uint64
	// Node is the machine's name, if auditd wrote one.
	Node string
	// Enriched is what auditd appended to the record behind a separator: the names
	// of users and the like, as they were on the machine.
	Enriched string
}

// separator stands before what auditd appends.
const separator = 0x1d

// append writes "audit(SECONDS.MILLIS:SERIAL): "; times before 1970 as 0.
func (h Header) append(b []byte) []byte {
	ms := max(0, h.Time.UnixMilli())
	b = appendUint(append(b, "audit("...), uint64(ms/1000))
	b = append(b, '.', byte('0'+ms/100%10), byte('0'+ms/10%10), byte('0'+ms%10), ':')
	return append(appendUint(b, h.Serial), "): "...)
}

// Parse reads one line with a record of IPE, which may be
//
//   - a line of the kernel log, "audit: type=1420 audit(…): …", with or without the
//     priority, the time and the syslog header that precede it there;
//   - a line of auditd's log, "type=IPE_ACCESS msg=audit(…): …", where the type may
//     be UNKNOWN[1420] too, perhaps with node= before and names behind;
//   - the text of a record alone, which has no Header.
//
// A line end is ignored. Programs that show /dev/kmsg write bytes that are not
// printable as \xNN; those are to be turned back before.
//
// The error is ErrNotIPE for every other line, and wraps a *SyntaxError if the line
// is a record that cannot be read; its Offset counts from the start of the line.
func Parse(line string) (Header, Record, error) {
	s := scanner{line: strings.TrimRight(line, "\r\n")}
	h, typ, auditd := s.intro()
	if typ == 0 {
		return Header{}, nil, ErrNotIPE
	}
	r := s.record(typ)
	if auditd && s.skip(string(rune(separator))) {
		h.Enriched = s.take(-1)
	}
	s.end()
	r, err := s.result(r)
	if err != nil {
		return Header{}, nil, err
	}
	return h, r, nil
}

// intro consumes everything before the record's text. The type is 0 if this cannot
// be a record of IPE.
func (s *scanner) intro() (h Header, t Type, auditd bool) {
	for _, k := range kinds {
		if s.at(k.begin) {
			return h, k.typ, false
		}
	}
	if s.skip("node=") {
		h.Node = s.word()
		s.lit(" ")
	}
	if auditd = s.skip("type="); auditd {
		t = s.typeName()
		s.lit(" msg=")
	} else if h.Node == "" && s.kernelPrefix() {
		t = s.typeNumber()
		s.lit(" ")
	}
	if t != 0 {
		stamp := s.stamp()
		h.Time, h.Serial = stamp.Time, stamp.Serial
	}
	return h, t, auditd
}

// typeName consumes the type's name, or UNKNOWN[number].
func (s *scanner) typeName() Type {
	if s.skip("UNKNOWN[") {
		t := s.typeNumber()
		s.lit("]")
		return t
	}
	word := s.word()
	for _, k := range kinds {
		if k.name == word {
			return k.typ
		}
	}
	return 0
}

func (s *scanner) typeNumber() Type {
	word := s.wordTo(']')
	for _, k := range kinds {
		if string(appendUint(nil, uint64(k.typ))) == word {
			return k.typ
		}
	}
	return 0
}

// kernelPrefix consumes what precedes the type in a kernel log: a priority or the
// fields of /dev/kmsg, or a syslog header that names the kernel, then printk's
// times in brackets. Text that another program logged is no such line, whatever
// it contains.
func (s *scanner) kernelPrefix() bool {
	const mark = "audit: type="
	if !s.at("[") && !s.at(mark) {
		s.take(headerLen(s.rest()))
	}
	for s.at("[") {
		n := strings.IndexByte(s.rest(), ']')
		if n < 0 {
			return false
		}
		s.take(n + 1)
		s.skip(" ")
	}
	return s.skip(mark)
}

// headerLen is the length of what a line begins with: "<5>", "5,420,12345678,-;" or
// a syslog header that ends in " kernel: ". It is 0 if that is none of these.
func headerLen(line string) int {
	if strings.HasPrefix(line, "<") {
		return strings.IndexByte(line, '>') + 1
	}
	head, _, ok := strings.Cut(line, ";")
	if ok && strings.Count(head, ",") >= 3 && !strings.Contains(head, " ") {
		return len(head) + len(";")
	}
	head, _, ok = strings.Cut(line, ": ")
	if ok && strings.HasSuffix(head, " kernel") {
		return len(head) + len(": ")
	}
	return 0
}

// secondBits keeps times in the years that their text in JSON can express.
const secondBits = 37

// stamp consumes "audit(SECONDS.MILLIS:SERIAL):" and the blank behind it.
func (s *scanner) stamp() (h Header) {
	s.lit("audit(")
	seconds := s.number(secondBits)
	s.lit(".")
	from := s.pos
	millis := s.number(10)
	if s.pos-from != len("000") {
		s.missing(from, "three digits")
	}
	s.lit(":")
	h.Time = time.UnixMilli(int64(seconds*1000 + millis)).UTC()
	h.Serial = s.number(64)
	s.lit("):")
	s.skip(" ")
	return h
}
