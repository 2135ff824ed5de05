package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/policy"
)

// format is the number of the form in which an index is written:
//
//	ipe-store 3
//	seq 17
//	mode enforce=1 success_audit=0
//	since enforce BOOT
//	floor HEXNAME 1.0.0
//	policy HEXNAME 1.0.0 SHA256
//	active HEXNAME
//	sum SHA256
//
// seq counts the changes, so that of two copies the newer is known. Floors and
// policies are sorted by name, of which the bytes are in hex; the sum is over all that
// stands before its line. There is one way to write a state.
//
// Formats 1 and 2 have no line "seq", format 1 no line "since"; both are read, with 0
// as the number of changes.
const format = 3

// maxIndex bounds the index in bytes: all names and numbers at their longest
// are less than this.
const maxIndex = 4 << 20

const magic = "ipe-store "

// index is the state of a store without the envelopes' bytes.
type index struct {
	// seq is how many changes led here.
	seq      uint64
	mode     Mode
	active   string // empty for none
	policies map[string]record
	floors   map[string]policy.Version
}

type record struct {
	version policy.Version
	sum     [sha256.Size]byte
}

func newIndex() index {
	return index{
		mode:     Mode{Enforce: true},
		policies: map[string]record{},
		floors:   map[string]policy.Version{},
	}
}

func (x index) clone() index {
	x.policies, x.floors = maps.Clone(x.policies), maps.Clone(x.floors)
	return x
}

// What a line "since" is about.
const (
	sinceEnforce = "enforce"
	sinceAudit   = "success_audit"
)

// oldFormat is the one in which programs wrote x that knew no seq: the lowest that can
// hold it.
func (x index) oldFormat() int {
	if x.mode.EnforceSince == "" && x.mode.SuccessAuditSince == "" {
		return 1
	}
	return 2
}

// encode writes the index.
func (x index) encode() []byte { return x.encodeAs(format) }

func (x index) encodeAs(format int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%d\n", magic, format)
	if format > 2 {
		fmt.Fprintf(&b, "seq %d\n", x.seq)
	}
	fmt.Fprintf(&b, "mode enforce=%d success_audit=%d\n", bit(x.mode.Enforce), bit(x.mode.SuccessAudit))
	for _, s := range []struct{ what, boot string }{{sinceEnforce, x.mode.EnforceSince}, {sinceAudit, x.mode.SuccessAuditSince}} {
		if s.boot != "" {
			fmt.Fprintf(&b, "since %s %s\n", s.what, s.boot)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(x.floors)) {
		fmt.Fprintf(&b, "floor %x %v\n", name, x.floors[name])
	}
	for _, name := range slices.Sorted(maps.Keys(x.policies)) {
		r := x.policies[name]
		fmt.Fprintf(&b, "policy %x %v %x\n", name, r.version, r.sum)
	}
	if x.active != "" {
		fmt.Fprintf(&b, "active %x\n", x.active)
	}
	b.WriteString(sumLine(b.Bytes()))
	return b.Bytes()
}

// sumLine is the last line of an index.
func sumLine(before []byte) string { return fmt.Sprintf("sum %x\n", sha256.Sum256(before)) }

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// parseIndex reads an index. The format number comes first, for another one may
// have another checksum.
func parseIndex(b []byte) (index, error) {
	first, _, ok := strings.Cut(string(b), "\n")
	number, isIndex := strings.CutPrefix(first, magic)
	if !ok || !isIndex {
		return index{}, fmt.Errorf("first line is not %q with a number: %w", magic, ErrCorrupt)
	}
	of, err := strconv.Atoi(number)
	if err != nil || of < 1 || of > format {
		return index{}, fmt.Errorf("format %.80q, this program knows 1 to %d: %w", number, format, ErrFormat)
	}
	body, err := checkSum(string(b))
	if err != nil {
		return index{}, err
	}
	x, err := parseBody(body)
	if err != nil {
		return index{}, err
	}
	if of < format && of != x.oldFormat() || !bytes.Equal(x.encodeAs(of), b) {
		return index{}, fmt.Errorf("not written by this program: %w", ErrCorrupt)
	}
	return x, nil
}

// checkSum returns what stands between the first line and the sum.
func checkSum(text string) (body string, err error) {
	at := strings.LastIndex(text, "\nsum ") + 1
	if at == 0 || text[at:] != sumLine([]byte(text[:at])) {
		return "", fmt.Errorf("checksum is missing or wrong: %w", ErrCorrupt)
	}
	_, body, _ = strings.Cut(text[:at], "\n")
	return body, nil
}

func parseBody(body string) (index, error) {
	x := newIndex()
	for line := range strings.Lines(body) {
		if err := x.parseLine(strings.Fields(line)); err != nil {
			return index{}, fmt.Errorf("line %q: %w: %w", strings.TrimSuffix(line, "\n"), err, ErrCorrupt)
		}
	}
	if err := x.check(); err != nil {
		return index{}, fmt.Errorf("%w: %w", err, ErrCorrupt)
	}
	return x, nil
}

var errLine = errors.New("unknown form")

func (x *index) parseLine(word []string) (err error) {
	switch {
	case len(word) == 2 && word[0] == "seq":
		x.seq, err = strconv.ParseUint(word[1], 10, 64)
		return err
	case len(word) == 3 && word[0] == "mode":
		x.mode = Mode{Enforce: word[1] == "enforce=1", SuccessAudit: word[2] == "success_audit=1"}
		return nil
	case len(word) == 3 && word[0] == "since":
		return x.parseSince(word[1], word[2])
	case len(word) == 3 && word[0] == "floor":
		return x.parseFloor(word[1], word[2])
	case len(word) == 4 && word[0] == "policy":
		return x.parsePolicy(word[1], word[2], word[3])
	case len(word) == 2 && word[0] == "active":
		x.active, err = parseName(word[1])
		return err
	}
	return errLine
}

func (x *index) parseSince(what, boot string) error {
	if !isBoot(boot) {
		return errLine
	}
	switch what {
	case sinceEnforce:
		x.mode.EnforceSince = boot
	case sinceAudit:
		x.mode.SuccessAuditSince = boot
	default:
		return errLine
	}
	return nil
}

// maxBoot is the greatest length of what identifies a boot, in bytes.
const maxBoot = 64

// isBoot reports whether a text can stand for a boot in an index.
func isBoot(text string) bool {
	return text != "" && len(text) <= maxBoot && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (x *index) parseFloor(nameText, versionText string) error {
	name, err := parseName(nameText)
	if err != nil {
		return err
	}
	x.floors[name], err = parseVersion(versionText)
	return err
}

func (x *index) parsePolicy(nameText, versionText, sumText string) error {
	name, err := parseName(nameText)
	if err != nil {
		return err
	}
	var r record
	if r.version, err = parseVersion(versionText); err != nil {
		return err
	}
	sum, err := hex.DecodeString(sumText)
	if err != nil || len(sum) != len(r.sum) {
		return errLine
	}
	copy(r.sum[:], sum)
	x.policies[name] = r
	return nil
}

func parseName(text string) (string, error) {
	name, err := hex.DecodeString(text)
	if err != nil {
		return "", err
	}
	return string(name), checkName(string(name))
}

func checkName(name string) error {
	if name == "" || len(name) > policy.MaxName {
		return fmt.Errorf("%d bytes, not 1 to %d: %w", len(name), policy.MaxName, ErrName)
	}
	return nil
}

func parseVersion(text string) (v policy.Version, err error) {
	pieces := strings.Split(text, ".")
	if len(pieces) != 3 {
		return v, errLine
	}
	for i, p := range []*uint16{&v.Major, &v.Minor, &v.Rev} {
		n, err := strconv.ParseUint(pieces[i], 10, 16)
		if err != nil {
			return v, err
		}
		*p = uint16(n)
	}
	return v, nil
}

var errInconsistent = errors.New("inconsistent")

// check holds what is true of every state that this package makes.
func (x index) check() error {
	if len(x.policies) > MaxPolicies || len(x.floors) > MaxFloors {
		return fmt.Errorf("%d policies and %d floors: %w", len(x.policies), len(x.floors), ErrLimit)
	}
	for name, r := range x.policies {
		if err := x.checkFloor(name, r.version); err != nil {
			return err
		}
	}
	if x.active == "" {
		return nil
	}
	r, stored := x.policies[x.active]
	if floor, ok := x.floors[x.active]; !stored || !ok || floor != r.version {
		return fmt.Errorf("active policy %s lacks envelope or floor: %w", plain.Name(x.active), errInconsistent)
	}
	return nil
}

// checkFloor returns a *StaleError for a version below the name's floor.
func (x index) checkFloor(name string, v policy.Version) error {
	if floor, ok := x.floors[name]; ok && v.Compare(floor) < 0 {
		return &StaleError{Name: name, Have: floor, Got: v}
	}
	return nil
}

// raise makes v, which is not below the floor, the floor of name.
func (x index) raise(name string, v policy.Version) error {
	if _, ok := x.floors[name]; !ok && len(x.floors) >= MaxFloors {
		return fmt.Errorf("%d policy names were active already: %w", MaxFloors, ErrLimit)
	}
	x.floors[name] = v
	return nil
}
