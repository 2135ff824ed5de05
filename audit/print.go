package audit

import (
	"encoding/hex"
	"strconv"

	"github.com/ipe-linux/ipe/policy"
)

// String returns the text of the record.
func (a Access) String() string { return string(a.append(nil, Newest)) }

// String returns the text of the record.
func (c ConfigChange) String() string { return string(c.append(nil, Newest)) }

// String returns the text of the record in its newest form, with errno.
func (l PolicyLoad) String() string { return string(l.append(nil, Newest)) }

// String returns the text of the record.
func (s Status) String() string { return string(s.append(nil, Newest)) }

// String returns nothing.
func (EmptyStatus) String() string { return "" }

func (EmptyStatus) append(b []byte, _ Generation) []byte { return b }

func (a Access) append(b []byte, _ Generation) []byte {
	b = append(append(b, "ipe_op="...), a.Op.String()...)
	b = append(append(b, " ipe_hook="...), a.Hook.String()...)
	b = appendFlag(append(b, " enforcing="...), a.Enforcing)
	b = appendUint(append(b, " pid="...), uint64(a.PID))
	b = AppendUntrusted(append(b, " comm="...), a.Comm)
	b = a.File.append(b)
	b = a.Rule.append(append(b, ` rule="`...))
	return append(b, '"')
}

func (f *File) append(b []byte) []byte {
	if f == nil {
		return append(b, " path=? dev=? ino=?"...)
	}
	b = AppendUntrusted(append(b, " path="...), f.Path)
	if f.NoInode {
		return append(b, " dev=? ino=?"...)
	}
	b = AppendUntrusted(append(b, " dev="...), f.Dev)
	return appendUint(append(b, " ino="...), f.Ino)
}

// idKeys are the keys that introduce the parts of a PolicyID.
type idKeys struct{ name, version, digest string }

var (
	oldKeys  = idKeys{"old_active_pol_name=", " old_active_pol_version=", " old_policy_digest=" + hashName}
	newKeys  = idKeys{"new_active_pol_name=", " new_active_pol_version=", " new_policy_digest=" + hashName}
	loadKeys = idKeys{"policy_name=", " policy_version=", " policy_digest=" + hashName}
)

// hashName introduces the digits of a policy's digest, and is left out with them.
const hashName = "sha256:"

// unknownDigest is the digest's key where there is none.
func (k idKeys) unknownDigest() string { return k.digest[:len(k.digest)-len(hashName)] + "?" }

func (p *PolicyID) append(b []byte, k idKeys) []byte {
	b = append(b, k.name...)
	if p == nil {
		b = append(append(b, '?'), k.version...)
		return append(append(b, '?'), k.unknownDigest()...)
	}
	b = append(append(append(b, '"'), p.Name...), '"')
	b = append(append(b, k.version...), p.Version.String()...)
	return appendHex(append(b, k.digest...), p.Digest[:])
}

func (c ConfigChange) append(b []byte, _ Generation) []byte {
	b = append(c.Old.append(b, oldKeys), ' ')
	b = append(c.New.append(b, newKeys), ' ')
	return append(c.Subject.append(b), " lsm=ipe res=1"...)
}

func (l PolicyLoad) append(b []byte, g Generation) []byte {
	b = append(l.Policy.append(b, loadKeys), ' ')
	b = appendFlag(append(l.Subject.append(b), " lsm=ipe res="...), l.Errno == 0)
	if !g.features().loadErrno {
		return b
	}
	b = append(b, " errno="...)
	if l.Errno != 0 {
		b = append(b, '-')
	}
	return appendUint(b, uint64(l.Errno))
}

func (s Status) append(b []byte, _ Generation) []byte {
	b = appendFlag(append(b, "enforcing="...), s.Enforcing)
	b = appendFlag(append(b, " old_enforcing="...), s.OldEnforcing)
	b = s.Subject.append(append(b, ' '))
	return append(b, statusEnd...)
}

// statusEnd is the part of a Status that never changes.
const statusEnd = " enabled=1 old-enabled=1 lsm=ipe res=1"

func (s Subject) append(b []byte) []byte {
	b = appendUint(append(b, "auid="...), uint64(s.AUID))
	return appendUint(append(b, " ses="...), uint64(s.Session))
}

func (s Statement) append(b []byte) []byte {
	switch s.Scope {
	case policy.ScopeRule:
		b = append(append(b, "op="...), s.Op.String()...)
		for i := range s.Properties {
			b = appendProperty(append(b, ' '), &s.Properties[i])
		}
	case policy.ScopeOp:
		b = append(append(b, "DEFAULT op="...), s.Op.String()...)
	default:
		b = append(b, "DEFAULT"...)
	}
	return append(append(b, " action="...), s.Action.String()...)
}

func appendProperty(b []byte, p *policy.Property) []byte {
	b = append(append(b, p.Key.String()...), '=')
	switch {
	case p.Key.IsDigest():
		b = append(AppendUntrusted(b, p.Digest.Algorithm()), ':')
		return appendHex(b, p.Digest.Bytes())
	case p.Value:
		return append(b, "TRUE"...)
	}
	return append(b, "FALSE"...)
}

func appendFlag(b []byte, v bool) []byte {
	if v {
		return append(b, '1')
	}
	return append(b, '0')
}

func appendUint(b []byte, n uint64) []byte { return strconv.AppendUint(b, n, 10) }

// appendHex appends upper-case digits.
func appendHex(b, raw []byte) []byte {
	from := len(b)
	b = hex.AppendEncode(b, raw)
	for i := from; i < len(b); i++ {
		if b[i] >= 'a' {
			b[i] -= 'a' - 'A'
		}
	}
	return b
}
