package policies_test

import (
	"os"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/cli/clitest"
	"github.com/ipe-linux/ipe/internal/plain"
)

// oddNames are names of files, with what stands for them in a command.
var oddNames = map[string]string{"a b": "'a b'", "it's": `'it'\''s'`, "-x": "./-x", "$(id)": "'$(id)'", "a\nb": "FILE", "\x1b[2J": "FILE"}

// TestHintsAreCommands: a hint that names a file can be copied to a shell.
func TestHintsAreCommands(t *testing.T) {
	dir, key, cert := clitest.Signer(t, -1, 1)
	t.Chdir(dir)
	if err := os.WriteFile("p.pol", []byte(clitest.Policy), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := clitest.Run(nil, "policy", "sign", "--key", key, "--cert", cert, "-o", "p.p7b", "p.pol"); code != 0 {
		t.Fatal(stderr)
	}
	message, err := os.ReadFile("p.p7b")
	if err != nil {
		t.Fatal(err)
	}
	for name, word := range oddNames {
		for _, tt := range []struct {
			holds   string
			command []string
			want    string
		}{
			{clitest.Policy, []string{"policy", "show"}, plain.Name(name) + " is an unsigned policy text: ipe policy sign --key KEY --cert CERT " + word + "\n"},
			{"-----BEGIN PKCS7-----\n", []string{"policy", "show"}, "openssl cms -cmsout -inform PEM -in " + word + " -outform DER"},
			{string(message), []string{"policy", "check"}, plain.Name(name) + " holds a signed policy: ipe policy show " + word + "\n"},
		} {
			if err := os.WriteFile(name, []byte(tt.holds), 0o600); err != nil {
				t.Fatal(err)
			}
			_, _, stderr := clitest.Run(nil, append(tt.command, "--", name)...)
			if !strings.Contains(stderr, "hint: ") || !strings.Contains(stderr, tt.want) {
				t.Errorf("%q: %s, want %s", name, stderr, tt.want)
			}
		}
	}
	// Standard input was read, and cannot be read again.
	if _, _, stderr := clitest.Run([]byte(clitest.Policy), "policy", "show", "-"); !strings.Contains(stderr, "--cert CERT FILE\n") {
		t.Error(stderr)
	}
}
