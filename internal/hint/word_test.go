package hint_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/plain"
)

// words are names with what stands for them in a command.
var words = map[string]string{
	"/dev/mapper/vg-root":   "/dev/mapper/vg-root",
	"site.p7b":              "site.p7b",
	"a b":                   "'a b'",
	"it's":                  `'it'\''s'`,
	"'":                     `''\'''`,
	"-x":                    "./-x",
	"- x":                   "'./- x'",
	"":                      "''",
	"$(id)":                 "'$(id)'",
	"`id`":                  "'`id`'",
	"a;b":                   "'a;b'",
	"!!":                    "'!!'",
	"~root":                 "'~root'",
	"=ls":                   "'=ls'",
	"*":                     "'*'",
	`a\b`:                   `'a\b'`,
	`a"b`:                   `'a"b'`,
	`\`:                     `'\'`,
	"Grüße":                 "'Grüße'",
	"-":                     "FILE",
	"a\nb":                  "FILE",
	"a\x1b[2Jb":             "FILE",
	"not UTF-8 \xff":        "FILE",
	"right to left \u202e":  "FILE",
	"no break\u00a0":        "FILE",
	"\ufffd":                "'\ufffd'",
	"/a dir/with it's\\end": `'/a dir/with it'\''s\end'`,
}

// TestWord: shells read the word as the name, and nothing prints it otherwise.
func TestWord(t *testing.T) {
	for name, want := range words {
		got := hint.File(name)
		if got != want {
			t.Errorf("File(%q) = %s, want %s", name, got, want)
		}
		if shown := plain.Text(got); shown != got {
			t.Errorf("File(%q) = %s, which is printed as %s", name, got, shown)
		}
		if device := hint.Device(name); device != strings.Replace(want, "FILE", "DEVICE", 1) {
			t.Errorf("Device(%q) = %s", name, device)
		}
		if want == "FILE" {
			continue
		}
		for _, shell := range []string{"sh", "bash"} {
			out, err := exec.Command(shell, "-c", "printf '%s|' "+got).Output()
			if read := strings.TrimPrefix(string(out), "./"); err != nil || read != name+"|" {
				t.Errorf("%s reads %s as %q, %v", shell, got, out, err)
			}
		}
	}
}

// FuzzWord: no name is more than one word, or another word.
func FuzzWord(f *testing.F) {
	for name := range words {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := hint.File(name)
		if plain.Text(got) != got {
			t.Errorf("%q: %q is not printed as it is", name, got)
		}
		inside, quoted := strings.CutPrefix(got, "'")
		switch {
		case got == "FILE" || !quoted && !strings.ContainsAny(got, " \t\n'\"\\$`;&|<>()*?[]#~!{}^"):
		case quoted && strings.TrimPrefix(strings.ReplaceAll(strings.TrimSuffix(inside, "'"), `'\''`, "'"), "./") == strings.TrimPrefix(name, "./"):
		default:
			t.Errorf("%q becomes %s", name, got)
		}
	})
}
