package hint

import (
	"strings"

	"github.com/ipe-linux/ipe/internal/plain"
)

// bare are the characters besides letters and digits that mean nothing to any shell.
const bare = "_@%+:,./-"

// File is the name of a file, a directory or a device as a word of a command: whoever copies
// that to a shell names this file, and nothing else.
func File(name string) string { return word(name, "FILE") }

// Device is File for a device.
func Device(name string) string { return word(name, "DEVICE") }

// word quotes as POSIX has it, which all shells read. That has no form for what cannot be
// printed, so a name with such gives way to a word that says what belongs there; so does
// "-", which is standard input.
func word(name, kind string) string {
	switch {
	case name == "-" || plain.Text(name) != name:
		return kind
	case strings.HasPrefix(name, "-"):
		name = "./" + name // no option
	}
	if name != "" && strings.Trim(name, bare+letters) == "" {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
