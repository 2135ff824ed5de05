// Package profile is the language of profiles: what a machine asks beyond its policy, and
// which executables are excepted. A policy's text stays the kernel's language.
//
//	profile_name=site profile_version=1.0.0 base=strict
//	rule=protect-wx fsverity_digest=sha256:cd2c… action=off
//	anon_exec dmverity_roothash=sha256:1f0e… path=/usr/bin/node
//
// An executable is excepted by what is verified of it: an fs-verity digest, or the root
// hash of a dm-verity volume with the path inside that volume, or with the digest. A
// signature alone would except each file of each signed volume, and is refused.
//
// [Parse] is stricter than the parser of policies, which has to take what kernels take: an
// exception that can never hold is a mistake, and so is one that says nothing. Each refusal
// is a [policy.SyntaxError] in one of the classes of policies.
package profile

import (
	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/strict"
	"github.com/ipe-linux/ipe/policy"
)

// Profile is a parsed profile.
type Profile struct {
	// Name is like that of a policy.
	Name    string
	Version policy.Version
	Base    Base
	// Exceptions are in the order of the text. No two are the same but for the action.
	Exceptions []Exception
}

// Base is what holds for each process that is not excepted.
type Base uint8

// The bases.
const (
	// Compat asks what the kernel's own IPE asks.
	Compat Base = iota
	// Strict asks that facts hold for all that is read, and enforces all strict rules.
	Strict
)

// Exception is one line.
type Exception struct {
	// Rule is the one that is not enforced; strict.None if the line is anon_exec: then
	// executable memory without a file is allowed even where the policy denies it.
	Rule strict.Rule
	// Action is strict.Off or strict.Monitor. It is strict.Off for anon_exec.
	Action   strict.Switch
	Identity Identity
	// Line is where it stands in the text, from 1; 0 if it was not parsed.
	Line int
}

// Identity says by what an executable is known. All that is not zero must hold.
type Identity struct {
	// File is the fs-verity digest.
	File digest.Digest
	// Root is the root hash of the dm-verity volume. With it is File or Path.
	Root digest.Digest
	// Path is absolute inside that volume, from the root of its file system, and clean.
	Path string
}

// Limits.
const (
	// MaxText is the size of the largest text in bytes, that of a policy.
	MaxText = 64 << 10
	// MaxPath is the length in bytes of the longest Path: the kernel compares it in one
	// key of a table, which has this room.
	MaxPath = 255
	// MaxExceptions bounds the lines: the kernel has room for so many. No text has more,
	// as MaxText and the shortest exception that says something see to.
	MaxExceptions = 1024

	shortest = len("anon_exec dmverity_roothash=sha1: path=/a\n") + 40
	// It does not compile if a text could have more.
	_ = uint(MaxExceptions - MaxText/shortest)
)
