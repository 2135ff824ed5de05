//go:build linux

// Package records reads what is recorded while scenarios run, from whoever records it, and
// writes it as it is the same on every machine.
package records

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/ipe-linux/ipe/audit"
)

// Masks turns records into what is the same on every machine.
type Masks struct {
	self uint32
	// Daemon is the process whose own decisions do not count; 0 for none.
	Daemon uint32
	// Messages are the digests of what was written to the tree, by digest.
	Messages map[[32]byte]string
	words    []string
}

// NewMasks returns masks for what this process does.
func NewMasks() *Masks {
	return &Masks{self: uint32(os.Getpid()), Messages: map[[32]byte]string{}}
}

// Replace has records show a name instead of what depends on the machine.
func (m *Masks) Replace(what, name string) { m.words = append(m.words, what, name) }

// Plain is text that anybody may compare.
func (m *Masks) Plain(text string) string { return strings.NewReplacer(m.words...).Replace(text) }

// Text is the canonical form of a record.
func (m *Masks) Text(r audit.Record) string {
	text := r.String()
	switch r := r.(type) {
	case audit.Access:
		text = m.access(r)
	case audit.ConfigChange:
		text = m.digests(text, r.Old, r.New)
	case audit.PolicyLoad:
		text = m.digests(text, r.Policy)
	}
	return strconv.Itoa(int(r.Type())) + " " + m.Plain(text)
}

// access tells whose process it was instead of its id; inode numbers are left out.
func (m *Masks) access(a audit.Access) string {
	pid := "other"
	if a.PID == m.self {
		pid = "self"
	}
	a.PID = 0
	if a.File != nil && !a.File.NoInode {
		f := *a.File
		f.Ino = 0
		a.File = &f
	}
	return strings.Replace(a.String(), " pid=0 ", " pid="+pid+" ", 1)
}

// digests shows which message had the digest.
func (m *Masks) digests(text string, ids ...*audit.PolicyID) string {
	for _, id := range ids {
		if id == nil {
			continue
		}
		if name, ok := m.Messages[id.Digest]; ok {
			text = strings.Replace(text, fmt.Sprintf("sha256:%X", id.Digest), "sha256:of-"+name, 1)
		}
	}
	return text
}

// Ours reports whether a record is about what this program did.
func (m *Masks) Ours(r audit.Record) bool {
	a, ok := r.(audit.Access)
	return !ok || a.PID != m.Daemon || m.Daemon == 0
}

// Comm is the name of the thread that a record is about; none for changes.
func Comm(r audit.Record) string {
	if a, ok := r.(audit.Access); ok {
		return a.Comm
	}
	return ""
}
