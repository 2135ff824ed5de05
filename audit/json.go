package audit

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/policy"
)

// JSONVersion is what NewJSON writes. Fields may be added to a version; if one
// changes its meaning or goes, the number changes.
const JSONVersion = 1

// ErrJSON means that a JSON is of an unknown version or says what no record says.
var ErrJSON = errors.New("not a record in JSON")

// JSON is a record as machines read it. Exactly one of the last five fields is
// set, by Type.
type JSON struct {
	Version int    `json:"version"`
	Type    Type   `json:"type"`
	Name    string `json:"name"`

	// The header; zero if the record came without one.
	Time     time.Time `json:"time,omitzero"`
	Serial   uint64    `json:"serial,omitempty"`
	Node     Bytes     `json:"node,omitempty"`
	Enriched Bytes     `json:"enriched,omitempty"`

	Access       *JSONAccess       `json:"access,omitempty"`
	ConfigChange *JSONConfigChange `json:"config_change,omitempty"`
	PolicyLoad   *JSONPolicyLoad   `json:"policy_load,omitempty"`
	Status       *JSONStatus       `json:"status,omitempty"`
	// Empty is an EmptyStatus.
	Empty bool `json:"empty,omitempty"`
}

// JSONAccess is an Access. Action and Scope repeat what Rule says.
type JSONAccess struct {
	Op        string    `json:"op"`
	Hook      string    `json:"hook"`
	Enforcing bool      `json:"enforcing"`
	PID       uint32    `json:"pid"`
	Comm      Bytes     `json:"comm"`
	File      *JSONFile `json:"file"` // null without a file
	Action    string    `json:"action"`
	Scope     string    `json:"scope"`
	Rule      string    `json:"rule"` // as in the record
}

// JSONFile is a File. Dev and Ino are null for a file without an inode.
type JSONFile struct {
	Path Bytes   `json:"path"`
	Dev  *Bytes  `json:"dev"`
	Ino  *uint64 `json:"ino"`
}

// JSONConfigChange is a ConfigChange.
type JSONConfigChange struct {
	Old *JSONPolicyID `json:"old"`
	New *JSONPolicyID `json:"new"`
	JSONSubject
}

// JSONPolicyLoad is a PolicyLoad; Errno is positive, 0 for success.
type JSONPolicyLoad struct {
	Policy *JSONPolicyID `json:"policy"`
	Errno  uint16        `json:"errno"`
	JSONSubject
}

// JSONStatus is a Status.
type JSONStatus struct {
	Enforcing    bool `json:"enforcing"`
	OldEnforcing bool `json:"old_enforcing"`
	JSONSubject
}

// JSONPolicyID is a PolicyID; the digest is "sha256:" and lower-case hex.
type JSONPolicyID struct {
	Name    Bytes  `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest"`
}

// JSONSubject is a Subject; null where it is unset.
type JSONSubject struct {
	AUID    *uint32 `json:"auid"`
	Session *uint32 `json:"ses"`
}

// Bytes are any bytes. In JSON they are a string if they are UTF-8, else an object
// {"hex": "…"}, because JSON has no other way to keep them.
type Bytes string

type hexBytes struct {
	Hex string `json:"hex"`
}

// MarshalJSON writes a string, or an object with hex digits.
func (b Bytes) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(b)) {
		return json.Marshal(string(b))
	}
	return json.Marshal(hexBytes{Hex: hex.EncodeToString([]byte(b))})
}

// UnmarshalJSON reads both forms.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, (*string)(b)) == nil {
		return nil
	}
	var h hexBytes
	if err := json.Unmarshal(data, &h); err != nil {
		return fmt.Errorf("decode bytes: %w", err)
	}
	raw, err := hex.DecodeString(h.Hex)
	if err != nil {
		return fmt.Errorf("decode bytes: %w", err)
	}
	*b = Bytes(raw)
	return nil
}

// NewJSON returns the record in the current version.
func NewJSON(h Header, r Record) JSON {
	j := JSON{
		Version: JSONVersion, Type: r.Type(), Name: r.Type().String(),
		Time: h.Time, Serial: h.Serial, Node: Bytes(h.Node), Enriched: Bytes(h.Enriched),
	}
	switch r := r.(type) {
	case Access:
		j.Access = &JSONAccess{
			Op: r.Op.String(), Hook: r.Hook.String(), Enforcing: r.Enforcing, PID: r.PID, Comm: Bytes(r.Comm),
			File: r.File.json(), Action: r.Rule.Action.String(), Scope: r.Rule.Scope.String(), Rule: r.Rule.String(),
		}
	case ConfigChange:
		j.ConfigChange = &JSONConfigChange{r.Old.json(), r.New.json(), r.Subject.json()}
	case PolicyLoad:
		j.PolicyLoad = &JSONPolicyLoad{r.Policy.json(), r.Errno, r.Subject.json()}
	case EmptyStatus:
		j.Empty = true
	case Status:
		j.Status = &JSONStatus{r.Enforcing, r.OldEnforcing, r.Subject.json()}
	}
	return j
}

func (f *File) json() *JSONFile {
	switch {
	case f == nil:
		return nil
	case f.NoInode:
		return &JSONFile{Path: Bytes(f.Path)}
	}
	return &JSONFile{Path: Bytes(f.Path), Dev: (*Bytes)(&f.Dev), Ino: &f.Ino}
}

func (p *PolicyID) json() *JSONPolicyID {
	if p == nil {
		return nil
	}
	return &JSONPolicyID{Bytes(p.Name), p.Version.String(), hashName + hex.EncodeToString(p.Digest[:])}
}

func (s Subject) json() JSONSubject { return JSONSubject{setOrNil(s.AUID), setOrNil(s.Session)} }

func setOrNil(id uint32) *uint32 {
	if id == Unset {
		return nil
	}
	return &id
}

// Record returns what NewJSON was given, from any version. Errors wrap ErrJSON.
func (j JSON) Record() (Header, Record, error) {
	r, err := j.record()
	if err != nil {
		return Header{}, nil, fmt.Errorf("read %v in version %d: %w: %w", j.Type, j.Version, ErrJSON, err)
	}
	return Header{Time: j.Time, Serial: j.Serial, Node: string(j.Node), Enriched: string(j.Enriched)}, r, nil
}

var (
	errVersion = errors.New("unknown version")
	errKind    = errors.New("no field of that type")
	errWord    = errors.New("unknown word")
)

func (j JSON) record() (Record, error) {
	switch {
	case j.Version != JSONVersion:
		return nil, errVersion
	case j.Type == TypeAccess && j.Access != nil:
		return j.Access.record()
	case j.Type == TypeConfigChange && j.ConfigChange != nil:
		c := j.ConfigChange
		older, err := c.Old.id()
		newer, err2 := c.New.id()
		return ConfigChange{Old: older, New: newer, Subject: c.subject()}, errors.Join(err, err2)
	case j.Type == TypePolicyLoad && j.PolicyLoad != nil:
		id, err := j.PolicyLoad.Policy.id()
		return PolicyLoad{Policy: id, Subject: j.PolicyLoad.subject(), Errno: j.PolicyLoad.Errno}, err
	case j.Type == TypeStatus && j.Empty && j.Status == nil:
		return EmptyStatus{}, nil
	case j.Type == TypeStatus && j.Status != nil:
		return Status{j.Status.Enforcing, j.Status.OldEnforcing, j.Status.subject()}, nil
	}
	return nil, errKind
}

func (a *JSONAccess) record() (Record, error) {
	op, err := recordedOp(a.Op)
	hook, err2 := eval.ParseHook(a.Hook)
	if err != nil || err2 != nil {
		return nil, fmt.Errorf("operation %q, hook %q: %w", a.Op, a.Hook, errWord)
	}
	rule, err := ParseStatement(a.Rule)
	return Access{
		Op: op, Hook: hook, Enforcing: a.Enforcing, PID: a.PID, Comm: string(a.Comm), File: a.File.file(), Rule: rule,
	}, err
}

func (f *JSONFile) file() *File {
	switch {
	case f == nil:
		return nil
	case f.Dev == nil || f.Ino == nil:
		return &File{Path: string(f.Path), NoInode: true}
	}
	return &File{Path: string(f.Path), Dev: string(*f.Dev), Ino: *f.Ino}
}

func (p *JSONPolicyID) id() (*PolicyID, error) {
	if p == nil {
		return nil, nil
	}
	version, err := policy.ParseVersion(p.Version)
	if err != nil {
		return nil, err
	}
	s := scanner{line: p.Digest}
	s.lit(hashName)
	id := &PolicyID{Name: string(p.Name), Version: version, Digest: s.sum()}
	s.end()
	return id, s.failed()
}

func (s JSONSubject) subject() Subject { return Subject{orUnset(s.AUID), orUnset(s.Session)} }

func orUnset(id *uint32) uint32 {
	if id == nil {
		return Unset
	}
	return *id
}
