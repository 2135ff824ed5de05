//go:build linux && !guest

package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/lab/demo/row"
	"github.com/ipe-linux/ipe/internal/lab/program"
)

func TestScreenRow(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	var b bytes.Buffer
	s := newScreen(&b)
	s.row(row.Row{Section: "a section", Tried: "nft of the volume", Policy: "ALLOW", Answered: "ok",
		Rule: "op=EXECUTE dmverity_roothash=" + digest + " action=ALLOW", OK: true})
	s.row(row.Row{Section: "a section", Tried: strings.Repeat("word ", 12), Policy: "refuse", Answered: "ok",
		Rule: "load: verify: signer: not trusted", Why: strings.Repeat("different ", 14)})
	want := `
  tried                                    policy says  kernel answered  deciding rule
  ` + strings.Repeat("─", 117) + `
  a section
  nft of the volume                        ALLOW        ok               dmverity_roothash=sha256:0123… action=ALLOW  ✓
  word word word word word word word word  refuse       ok               not trusted                                  ✗
  word word word word
      different different different different different different different different different different different
      different different different
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 120 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// TestScreenCompared: what three answer stands side by side.
func TestScreenCompared(t *testing.T) {
	var b bytes.Buffer
	s := newScreen(&b)
	s.row(row.Row{Section: "before", Tried: "t", Policy: "accept", Answered: "ok", OK: true})
	s.row(row.Row{Section: "a section", Tried: "trace another process", Policy: "strict", Own: "has no IPE", Compat: "ok", Answered: "EACCES", Rule: "strict rule ptrace", OK: true})
	want := `
  tried                                 kernel's own IPE  iped, compat  iped --profile strict
  ` + strings.Repeat("─", 117) + `
  a section
  trace another process                 has no IPE        ok            EACCES, strict rule ptrace                    ✓
`
	if _, got, _ := strings.Cut(b.String(), "✓\n"); got != want {
		t.Error(cmp.Diff(want, got))
	}
}

func TestScreenJSON(t *testing.T) {
	var rows, rest bytes.Buffer
	s := newScreen(&rest)
	s.rows = &rows
	s.row(row.Row{Kernel: "6.1", Boot: 2, Section: "s", Tried: "t", Policy: "DENY", Answered: "EACCES", Rule: "DEFAULT action=DENY", OK: true})
	want := `{"kernel":"6.1","boot":2,"section":"s","tried":"t","policy":"DENY","answered":"EACCES","rule":"DEFAULT action=DENY","ok":true}` + "\n"
	if diff := cmp.Diff(want, rows.String()); diff != "" || rest.Len() > 0 {
		t.Errorf("%s, and %q on the screen", diff, rest.String())
	}
}

func TestScreenFoldsOutput(t *testing.T) {
	var b bytes.Buffer
	long := strings.TrimSpace(strings.Repeat("detail ", 20))
	newScreen(&b).output(row.Output{Command: "ipe status", Text: "enforcing\n           probe: ok\nlacking    " + long + "\n"})
	want := `
  # ipe status
  enforcing
             probe: ok
  lacking    ` + strings.TrimSpace(strings.Repeat("detail ", 15)) + `
             ` + strings.TrimSpace(strings.Repeat("detail ", 5)) + "\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestLines(t *testing.T) {
	var log bytes.Buffer
	var got []row.Line
	w := &lines{take: func(l row.Line) { got = append(got, l) }, log: &log}
	for _, chunk := range []string{"level=INFO\n{\"row\":{\"tri", "ed\":\"x\"}}\n{broken\n", "{\"done\":true}\n{\"row\""} {
		if n, err := io.WriteString(w, chunk); n != len(chunk) || err != nil {
			t.Fatal(n, err)
		}
	}
	want := []row.Line{{Row: &row.Row{Tried: "x"}}, {Done: true}}
	if diff := cmp.Diff(want, got); diff != "" || !w.done {
		t.Errorf("%s, done %v", diff, w.done)
	}
	if diff := cmp.Diff("level=INFO\n{broken\n", log.String()); diff != "" {
		t.Error(diff)
	}
}

func TestCommandLine(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--help"}, 0, "-kernel"},
		{[]string{"--kernel", "5.4"}, 2, "no such kernel series"},
		{[]string{"extra"}, 2, "no arguments"},
		{[]string{"--keep", "."}, 1, "not empty"},
	} {
		var out, err bytes.Buffer
		if code := demo().Run(t.Context(), program.Surroundings{Args: tt.args, Stdout: &out, Stderr: &err}); code != tt.code || !strings.Contains(err.String(), tt.says) || out.Len() > 0 {
			t.Errorf("%v: code %d, %q, %q", tt.args, code, out.String(), err.String())
		}
	}
}
