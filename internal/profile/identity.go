package profile

import (
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/policy"
)

// Properties have the names that policies give them.
var (
	keyFile = policy.FSVerityDigest.String()
	keyRoot = policy.DMVerityRoothash.String()
)

// refusedKeys are the properties of policies that name no single executable.
var refusedKeys = map[string]string{
	policy.BootVerified.String():      "it would except every file of the initramfs",
	policy.DMVeritySignature.String(): "it would except every file of every signed volume",
	policy.FSVeritySignature.String(): "it would except every file that was ever signed",
}

// isProperty tells whether a key is of an identity, or of policies' properties.
func isProperty(key string) bool {
	_, err := policy.ParseKey(key)
	return err == nil || key+"=" == wordPath
}

// identity takes one of the words that an identity is made of.
func (s *statement) identity(key, value string) (err *policy.SyntaxError) {
	switch key {
	case keyFile:
		s.Identity.File, err = hash(value, fileSize, "fs-verity has sha256 and sha512")
	case keyRoot:
		s.Identity.Root, err = hash(value, digest.AlgorithmSize, "no kernel has it for dm-verity")
	default:
		s.Identity.Path, err = value, refusedPath(value)
	}
	return err
}

// fileSize is digest.AlgorithmSize for what fs-verity has.
func fileSize(alg string) (size int, ok bool) {
	if alg != "sha256" && alg != "sha512" {
		return 0, false
	}
	return digest.AlgorithmSize(alg)
}

// hash takes a digest that some file or volume can have: of a known algorithm, and as long
// as that makes them.
func hash(value string, size func(alg string) (int, bool), there string) (digest.Digest, *policy.SyntaxError) {
	if value == "" {
		return digest.Digest{}, malformed(policy.CodeBlank, "no digest (no blank may follow =)")
	}
	d, err := digest.Parse(value)
	switch {
	case errors.Is(err, digest.ErrNoColon):
		return d, malformed(policy.CodeDigest, "no colon: a digest is written algorithm:hex, like sha256:cd2c")
	case err != nil:
		return d, refuse(policy.ErrValue, policy.CodeDigest, "%v behind the colon", digest.ErrHex)
	}
	want, known := size(d.Algorithm())
	switch lower := strings.ToLower(d.Algorithm()); {
	case known && d.Size() == want:
		return d, nil
	case known:
		return d, refuse(policy.ErrValue, policy.CodeDigest, "it has %d hex digits, and one of %s has %d: it would never match", 2*d.Size(), d.Algorithm(), 2*want)
	case lower != d.Algorithm():
		return d, refuse(policy.ErrValue, policy.CodeDigest, "algorithms are written in lower case, like %s", lower)
	}
	return d, refuse(policy.ErrValue, policy.CodeDigest, "unknown algorithm (%s): it would never match", there)
}

// refusedPath says why a path is none that the kernel could find; nil if it is one.
func refusedPath(p string) *policy.SyntaxError {
	switch {
	case p == "":
		return malformed(policy.CodeBlank, "no path (no blank may follow =)")
	case strings.ContainsAny(p, `"'`+"`"):
		return malformed(codePath, "nothing is quoted, and a path has no quotes")
	case plain.Name(p) != p || strings.ContainsFunc(p, isBlank):
		return malformed(codePath, "a path has no blanks, no backslash and nothing unprintable: name that file by %s", keyFile)
	case p[0] != '/':
		return malformed(codePath, "the path must be absolute: it begins with / and is that inside the volume")
	case p == "/":
		return malformed(codePath, "that is the root of the volume, and no executable")
	case slices.Contains(strings.Split(p, "/"), ".."):
		return malformed(codePath, "the path must not have .. in it: where that leads to is for symbolic links to say")
	case path.Clean(p) != p:
		return mended(wordPath+path.Clean(p), codePath, "the path must be clean, without . in it, a doubled slash, or one at its end")
	case len(p) > MaxPath:
		return refuse(policy.ErrRange, codePath, "the path has %d bytes, more than %d", len(p), MaxPath)
	}
	return nil
}

// isBlank tells what looks like a blank and is none to the lexer.
func isBlank(r rune) bool { return r == ' ' || r > 0x7f && strings.TrimSpace(string(r)) == "" }

// named checks that the words together name one executable, by what is verified of it.
func (s *statement) named() (word, *policy.SyntaxError) {
	id := s.Identity
	pathWord := s.at[strings.TrimSuffix(wordPath, "=")]
	switch hasFile, hasRoot, hasPath := !id.File.IsZero(), !id.Root.IsZero(), id.Path != ""; {
	case hasRoot && hasFile && hasPath:
		return pathWord, malformed(codeIdentity, "%s and %s= name the file twice: leave out one", wordPath, keyFile)
	case hasPath && !hasRoot:
		return pathWord, malformed(codeIdentity, "a path alone verifies nothing: add %s=ALG:HEX of its volume", keyRoot)
	case hasRoot && !hasFile && !hasPath:
		return s.at[keyRoot], malformed(codeIdentity, "it would except every file of the volume: add %s with that inside the volume, or %s=ALG:HEX", wordPath, keyFile)
	case !hasFile && !hasRoot:
		return s.line.words[0], malformed(codeIdentity, "no executable: add %s=ALG:HEX, or %s=ALG:HEX with %s", keyFile, keyRoot, wordPath)
	}
	return word{}, nil
}
