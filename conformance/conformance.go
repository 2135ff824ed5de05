// Package conformance is the truth that every part is held against: vectors of
// what a kernel's IPE answers, as data that any implementation can run. It
// imports nothing of the project.
//
// The vectors are JSON, one case a line. Policy texts are bytes, so in "text",
// "name" and "canonical" each character from U+0000 to U+00FF stands for the byte
// of that number (read them as ISO-8859-1), and U+2026 for "fill" repeated
// "times" times. The expectations are those of Linux 6.12.
//
// Stability: this is version 0. Vectors are added, and mended where a live kernel answers
// otherwise. Fields of cases are added, and keep their meanings.
package conformance

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
)

//go:embed parse.jsonl
var parseData []byte

//go:embed eval.jsonl
var evalData []byte

// LastRow is the number of rows in the case table of the language, from 1. A row
// that lists several texts has several cases.
const LastRow = 162

// ParseCase is a policy text and what becomes of it.
type ParseCase struct {
	// ID is the row with a letter for each of several texts ("78a"), or begins
	// with x for cases beyond the table, whose Row is 0.
	ID  string
	Row int
	Why string
	// Text is the policy, byte for byte.
	Text []byte
	// Want is the parser's answer: OK, EBADMSG, EINVAL or ERANGE.
	Want string
	// Load is what a kernel answers to the text, validly signed and written to
	// new_policy while no policy of that name exists: Want, unless something
	// behind the parser refuses.
	Load string
	// Live: the case can be put to a running kernel that way. The others concern a
	// boot policy.
	Live bool
	// What an accepted text gives: name and version as parsed, the number of
	// rules, and the canonical text, which is empty if the case does not state it.
	Name, Version string
	Rules         int
	Canonical     []byte
}

// EvalCase is a question put to a policy, and the answer.
type EvalCase struct {
	ID  string `json:"id"`
	Why string `json:"why"`
	// Policy is a valid policy text in ASCII.
	Policy string `json:"policy"`
	// Op and Hook are spelled as records spell them; Op may be UNKNOWN.
	Op   string `json:"op"`
	Hook string `json:"hook"`
	// File is false if the event has no file (anonymous memory, data from user space).
	File     bool     `json:"file"`
	Evidence Evidence `json:"evidence"`
	// Action is ALLOW or DENY; Scope is rule, operation or global; Rule counts all
	// rules of the policy from 0 and is -1 if a default decided.
	Action string `json:"action"`
	Scope  string `json:"scope"`
	Rule   int    `json:"rule"`
}

// Evidence is what is known about the file of an EvalCase.
type Evidence struct {
	BootVerified bool `json:"boot_verified"`
	// RootHash and FileDigest are written alg:hex, empty without one.
	RootHash         string `json:"root_hash"`
	RootHashSigned   bool   `json:"root_hash_signed"`
	FileDigest       string `json:"file_digest"`
	FileDigestSigned bool   `json:"file_digest_signed"`
	// Unavailable names the properties that the kernel was built without.
	Unavailable []string `json:"unavailable"`
}

// ParseCases returns the cases of the language, in order of rows.
func ParseCases() []ParseCase {
	var cases []ParseCase
	for line := range bytes.Lines(parseData) {
		cases = append(cases, readParseCase(line))
	}
	return cases
}

// EvalCases returns the cases of evaluation: the truth table of all property
// forms ("truth/…") and then order, scopes and corners.
func EvalCases() []EvalCase {
	var cases []EvalCase
	for line := range bytes.Lines(evalData) {
		var c EvalCase
		if err := json.Unmarshal(line, &c); err != nil {
			c = EvalCase{ID: unreadable(err)}
		}
		cases = append(cases, c)
	}
	return cases
}

// unreadable is the ID, and the expectation, of a case that cannot be decoded:
// nothing passes it.
func unreadable(err error) string { return fmt.Sprintf("unreadable case: %v", err) }

// rawCase is a ParseCase as it is stored.
type rawCase struct {
	ID, Why, Text, Fill, Want, Load, Name, Version, Canonical string

	Row, Times, Rules int
	Live              *bool
}

func readParseCase(line []byte) ParseCase {
	var raw rawCase
	if err := json.Unmarshal(line, &raw); err != nil {
		return ParseCase{ID: unreadable(err), Want: unreadable(err)}
	}
	c := ParseCase{
		ID: raw.ID, Row: raw.Row, Why: raw.Why, Want: raw.Want, Load: raw.Load, Live: raw.Live == nil || *raw.Live,
		Name: string(raw.bytes(raw.Name)), Version: raw.Version, Rules: raw.Rules,
		Text: raw.bytes(raw.Text), Canonical: raw.bytes(raw.Canonical),
	}
	if c.Load == "" {
		c.Load = c.Want
	}
	return c
}

// ellipsis stands for a repeated text.
const ellipsis = '\u2026'

// bytes turns stored text into the bytes that it stands for.
func (r *rawCase) bytes(text string) []byte {
	out := make([]byte, 0, len(text))
	for _, char := range text {
		if char == ellipsis {
			out = append(out, bytes.Repeat([]byte(r.Fill), r.Times)...)
			continue
		}
		out = append(out, byte(char))
	}
	return out
}
