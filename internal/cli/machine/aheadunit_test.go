package machine

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestUnitWords: see systemd.service(5), Command lines.
func TestUnitWords(t *testing.T) {
	for command, want := range map[string][]string{
		"":                      nil,
		" \t":                   nil,
		"a b\tc":                {"a", "b", "c"},
		`"a b" 'c "d' ""`:       {"a b", `c "d`, ""},
		`a="b`:                  {`a="b`},
		"/\xff /\xfe":           {"/\xff", "/\xfe"},
		`X='x' "Y='y y' y" Z= `: {"X='x'", "Y='y y' y", "Z="},
	} {
		if got := unitWords(command); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", command, got, want)
		}
	}
}

// FuzzUnitWords: words that were quoted are read as they were, and others have nothing in
// them that separates words.
func FuzzUnitWords(f *testing.F) {
	for _, command := range []string{"", `/usr/sbin/iped --trust /a $MORE`, `"a b" 'c "d'`, `a"b c`, `'`, "/\xff\t\"\""} {
		f.Add(command)
	}
	f.Fuzz(func(t *testing.T, command string) {
		words := unitWords(command)
		if !strings.ContainsAny(command, `"'`) {
			blank := func(r rune) bool { return r == ' ' || r == '\t' }
			if want := strings.FieldsFunc(command, blank); !slices.Equal(words, want) {
				t.Fatalf("%q: %q, want %q", command, words, want)
			}
		}
		quoted := make([]string, 0, len(words))
		for _, w := range words {
			switch {
			case !strings.Contains(w, `"`):
				w = `"` + w + `"`
			case !strings.Contains(w, "'"):
				w = "'" + w + "'"
			default: // no quotes hold both
				return
			}
			quoted = append(quoted, w)
		}
		if got := unitWords(strings.Join(quoted, " \t")); !slices.Equal(got, words) {
			t.Fatalf("%q, want %q", got, words)
		}
	})
}

// TestVariablesIn: see systemd.exec(5), EnvironmentFile=.
func TestVariablesIn(t *testing.T) {
	for text, want := range map[string]map[string]string{
		"":                             {},
		"# A=1\n; B=2\n\nC\n":          {},
		"A=1\nB= 2 \n A = \"3 4\" \n":  {"A": "3 4", "B": "2"},
		"A='x\"'\nB=\"\nC=\"\"\nD=a'b": {"A": `x"`, "B": `"`, "C": "", "D": "a'b"},
	} {
		if got := variablesIn(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzVariablesIn: what was read is read again from lines that say it in quotes, and no line
// changes what another says of another variable.
func FuzzVariablesIn(f *testing.F) {
	for _, text := range []string{"", "IPED_FLAGS=\"--profile strict\"\n", "# a=b\n;c=d\ne = 'f'", "a=\"\nb= \"x\"\r\n", "=\n\xff==\"'"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set := variablesIn(text)
		for name, value := range set {
			if strings.ContainsAny(name+value, "\n") || name != strings.TrimSpace(name) {
				t.Fatalf("%q: %q is %q", text, name, value)
			}
			line := name + `="` + value + `"`
			if got := variablesIn(line); !reflect.DeepEqual(got, map[string]string{name: value}) {
				t.Fatalf("%q: %q, want %q", line, got, value)
			}
			if got := variablesIn(name + " = " + value + "\n"); !wrapped(value) && !reflect.DeepEqual(got, map[string]string{name: strings.TrimSpace(value)}) {
				t.Fatalf("%q without quotes: %q", value, got)
			}
		}
		again := variablesIn(text + "\nnobody_else_has_this=1")
		if delete(again, "nobody_else_has_this"); !reflect.DeepEqual(again, set) {
			t.Fatalf("%q, want %q", again, set)
		}
	})
}

// wrapped reports whether a value is in quotes itself, which are taken away.
func wrapped(value string) bool {
	value = strings.TrimSpace(value)
	return len(value) > 1 && value[0] == value[len(value)-1] && strings.Contains(`"'`, value[:1])
}
