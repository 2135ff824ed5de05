package audit

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/eval"
)

// Generation is a stretch of kernel versions whose records look alike. It matters
// to those who write; readers take them all.
type Generation uint8

// The generations, named by the kernel that each begins with.
const (
	Linux6_12 Generation = iota
	Linux6_16
	Linux6_17
	Linux6_19

	// Newest is what String methods write.
	Newest = Linux6_19
)

// features is what tells one generation from the next.
type features struct {
	name         string
	major, minor int
	// loadErrno: a PolicyLoad ends in errno=, and failures are recorded.
	loadErrno bool
	// unhashed: policies are left out of a record where the kernel cannot hash.
	unhashed bool
	// credsForExec: there is a hook of that name.
	credsForExec bool
}

var generations = [...]features{
	Linux6_12: {name: "6.12", major: 6, minor: 12, unhashed: true},
	Linux6_16: {name: "6.16", major: 6, minor: 16, unhashed: true, loadErrno: true},
	Linux6_17: {name: "6.17", major: 6, minor: 17, loadErrno: true},
	Linux6_19: {name: "6.19", major: 6, minor: 19, loadErrno: true, credsForExec: true},
}

// features of what is no generation are those of the newest.
func (g Generation) features() *features { return &generations[min(g, Newest)] }

// GenerationOf returns the generation of a kernel version; the first one for
// kernels older than IPE. A distribution's kernel may be ahead of its number.
func GenerationOf(major, minor int) Generation {
	for g, f := range slices.Backward(generations[:]) {
		if major > f.major || major == f.major && minor >= f.minor {
			return Generation(g)
		}
	}
	return Linux6_12
}

// ErrGeneration means a name that no generation has.
var ErrGeneration = errors.New("no such generation")

// ParseGeneration is the opposite of String. An error wraps ErrGeneration and lists
// the names.
func ParseGeneration(name string) (Generation, error) {
	var names []string
	for g, f := range generations {
		if f.name == name {
			return Generation(g), nil
		}
		names = append(names, f.name)
	}
	return 0, fmt.Errorf("generation %q: %w: there are %s", name, ErrGeneration, strings.Join(names, ", "))
}

// String returns the version of the first kernel of the generation.
func (g Generation) String() string { return g.features().name }

// RecordsFailures reports whether policies that could not be loaded are recorded,
// with the reason in errno=.
func (g Generation) RecordsFailures() bool { return g.features().loadErrno }

// DigestMayBeMissing reports whether a kernel of the generation leaves a policy out
// of its record when it cannot hash.
func (g Generation) DigestMayBeMissing() bool { return g.features().unhashed }

// HasHook reports whether records of the generation can name the hook.
func (g Generation) HasHook(h eval.Hook) bool {
	return h != eval.HookBprmCredsForExec || g.features().credsForExec
}

// Records reports whether a kernel of the generation could write the record.
func (g Generation) Records(r Record) bool {
	switch r := r.(type) {
	case Access:
		return g.HasHook(r.Hook)
	case PolicyLoad:
		return r.Errno == 0 || g.RecordsFailures()
	}
	return true
}

// Append appends the text of the record as the generation writes it; of what it
// does not record (see Records), the nearest text.
func (g Generation) Append(dst []byte, r Record) []byte { return r.append(dst, g) }

// AppendKernelLog appends the line of a kernel log, without time and line end:
// "audit: type=1420 audit(…): …".
func (g Generation) AppendKernelLog(dst []byte, h Header, r Record) []byte {
	dst = append(dst, "audit: type="...)
	dst = appendUint(dst, uint64(r.Type()))
	return r.append(h.append(append(dst, ' ')), g)
}

// AppendAuditLog appends the line of auditd's log, without line end:
// "type=IPE_ACCESS msg=audit(…): …".
func (g Generation) AppendAuditLog(dst []byte, h Header, r Record) []byte {
	return g.appendAuditLog(dst, h, r, r.Type().String())
}

// AppendNumberedAuditLog is AppendAuditLog as an auditd writes it that is older than
// IPE: "type=UNKNOWN[1420] msg=audit(…): …". The tools of every auditd read it.
func (g Generation) AppendNumberedAuditLog(dst []byte, h Header, r Record) []byte {
	name := r.Type().String()
	if r.Type() != TypeStatus {
		name = fmt.Sprintf("UNKNOWN[%d]", uint16(r.Type()))
	}
	return g.appendAuditLog(dst, h, r, name)
}

func (g Generation) appendAuditLog(dst []byte, h Header, r Record, name string) []byte {
	if h.Node != "" {
		dst = append(append(append(dst, "node="...), h.Node...), ' ')
	}
	dst = append(append(dst, "type="...), name...)
	dst = r.append(h.append(append(dst, " msg="...)), g)
	if h.Enriched != "" {
		dst = append(append(dst, separator), h.Enriched...)
	}
	return dst
}
