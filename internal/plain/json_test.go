package plain

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

// TestJSON: a value is read as it was, from a line of printable characters.
func TestJSON(t *testing.T) {
	for _, s := range []string{"", "a <b> & c", "a\nb\x7f", "\u009b2J", "\u202e", "\U000e0001", "\U0001f600", "\u00e9", "\u2028"} {
		line, err := JSON(map[string]string{"s": s})
		if err != nil {
			t.Fatal(err)
		}
		text, ended := strings.CutSuffix(string(line), "\n")
		if !ended || strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
			t.Errorf("%q", line)
		}
		var got map[string]string
		if err := json.Unmarshal(line, &got); err != nil || got["s"] != s {
			t.Errorf("%q: %v, %q, want %q", line, err, got, s)
		}
	}
	if line, err := JSON("<é>"); string(line) != "\"<é>\"\n" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
	if _, err := JSON(make(chan int)); err == nil {
		t.Error("a channel has a form as JSON")
	}
}
