package lint

import (
	"fmt"
	"slices"
)

// Code is the kind of a finding: what programs tell it by.
type Code string

// The kinds of findings. The comment of each says what it means and what to do.
const (
	// QuotedName: the policy's name has quotes, which the language does not have. They are
	// part of the name. Leave them out.
	QuotedName Code = "quoted-name"
	// NameOfNoDirectory: the policy's name is ".", ".." or has a slash. A loaded policy is
	// a directory of that name, so no kernel loads this one. Choose another name.
	NameOfNoDirectory Code = "name-of-no-directory"
	// LongName: the policy's name has more than 255 bytes, more than that of a directory
	// can have, so no kernel loads it. Choose a shorter one.
	LongName Code = "long-name"
	// NoGlobalDefault: each operation has a default of its own, and the policy has none. A
	// kernel with one more operation refuses the policy. Add DEFAULT action=DENY.
	NoGlobalDefault Code = "no-global-default"
	// AlgorithmCase: the algorithm of a digest is known, and not in that case of letters. A
	// kernel compares byte by byte, so the property is never true. Write it in lower case.
	AlgorithmCase Code = "algorithm-case"
	// UnknownAlgorithm: no kernel gives a digest of that algorithm, so the property is
	// never true.
	UnknownAlgorithm Code = "unknown-algorithm"
	// FSVerityAlgorithm: fs-verity does not have the algorithm, so no file has the digest.
	FSVerityAlgorithm Code = "fsverity-algorithm"
	// DigestSize: the digest is shorter or longer than its algorithm's, so nothing has it.
	// It was probably cut when it was copied.
	DigestSize Code = "digest-size"
	// Contradiction: the rule wants two values of one property, so it never applies. Write
	// two rules to say "either".
	Contradiction Code = "contradiction"
	// DeadRule: an earlier rule of the same operation tests no more than this one, and
	// decides first. Move this rule above that one, or leave it out.
	DeadRule Code = "dead-rule"
	// AnonymousMemory: the rule allows execution without a fact that only a file can have.
	// So it allows memory that belongs to no file, too. Test a digest, or a property
	// for TRUE.
	AnonymousMemory Code = "anonymous-memory"
)

// severities has all codes, in the order above, and how grave each is.
var severities = [...]struct {
	code     Code
	severity Severity
}{
	{QuotedName, Warning},
	{NameOfNoDirectory, Error},
	{LongName, Error},
	{NoGlobalDefault, Info},
	{AlgorithmCase, Error},
	{UnknownAlgorithm, Error},
	{FSVerityAlgorithm, Error},
	{DigestSize, Error},
	{Contradiction, Error},
	{DeadRule, Warning},
	{AnonymousMemory, Warning},
}

// Codes returns all kinds of findings.
func Codes() []Code {
	all := make([]Code, len(severities))
	for i, row := range severities {
		all[i] = row.code
	}
	return all
}

// Severity returns how grave findings of that kind are; Warning for a code that is none.
func (c Code) Severity() Severity {
	for _, row := range severities {
		if row.code == c {
			return row.severity
		}
	}
	return Warning
}

// Severity is how grave a finding is. A graver one is greater.
type Severity uint8

// The severities.
const (
	// Info: nothing is wrong today.
	Info Severity = iota
	// Warning: the policy works, and probably not as it was meant.
	Warning
	// Error: the policy, or a part of it, can work on no kernel.
	Error
)

var severityWords = [...]string{Info: "info", Warning: "warning", Error: "error"}

// String returns info, warning or error.
func (s Severity) String() string {
	if int(s) < len(severityWords) {
		return severityWords[s]
	}
	return "?"
}

// MarshalText implements [encoding.TextMarshaler]. It fails for what is no severity.
func (s Severity) MarshalText() ([]byte, error) {
	if int(s) >= len(severityWords) {
		return nil, fmt.Errorf("severity %d: there is none", uint8(s))
	}
	return []byte(severityWords[s]), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]. It reads what MarshalText writes,
// and leaves the severity alone if it fails.
func (s *Severity) UnmarshalText(text []byte) error {
	i := slices.Index(severityWords[:], string(text))
	if i < 0 {
		return fmt.Errorf("severity %q: there are info, warning and error", text)
	}
	*s = Severity(i)
	return nil
}
