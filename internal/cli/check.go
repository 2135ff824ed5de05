package cli

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/controlrpc"
	"github.com/ipe-linux/ipe/policy"
)

// checkResult is one line of check --json. Keys and their presence are an interface.
type checkResult struct {
	File    string `json:"file"`
	Valid   bool   `json:"valid"`
	Errno   string `json:"errno"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

func (a *app) check() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE...", Short: "Say whether a kernel would accept policy texts", Args: some("at least one FILE"),
		Long: "Check parses policy texts as the kernel does. FILE - is standard input.\n\n" +
			"With --json each file gives one line\n" +
			`  {"file","valid","errno","name","version","line","column","message"}` + "\n" +
			"where errno is the kernel's symbol, EBADMSG, EINVAL or ERANGE, or empty; or that of what\n" +
			"keeps a file from being read.\n\n" +
			"Exit status 0 only if every file is valid.",
		RunE: func(_ *cobra.Command, args []string) error { return a.runCheck(args) },
	}
}

func (a *app) runCheck(files []string) error {
	bad := false
	for _, file := range files {
		ok, err := a.checkFile(file)
		if err != nil {
			return err
		}
		bad = bad || !ok
	}
	if bad {
		return errSaid
	}
	return nil
}

// checkFile checks and reports one file; err is only about writing the report.
func (a *app) checkFile(file string) (ok bool, err error) {
	text, err := a.read(file)
	var p *policy.Policy
	if err == nil {
		p, err = policy.Parse(text)
	}
	if a.json {
		return err == nil, a.printJSON(resultOf(file, p, err))
	}
	if err != nil {
		a.diagnose(file, text, err)
		return false, nil
	}
	a.warn(file, text, p)
	return true, a.result(nil, "%s: ok: %s %s, %s\n", file, printable(p.Name), p.Version, count(len(p.Rules), "rule"))
}

func resultOf(file string, p *policy.Policy, err error) checkResult {
	if err == nil {
		return checkResult{File: file, Valid: true, Name: p.Name, Version: p.Version.String()}
	}
	r := checkResult{File: file, Errno: controlrpc.Symbol(err), Message: oneLine(err.Error())}
	var se *policy.SyntaxError
	if errors.As(err, &se) {
		r.Line, r.Column, r.Message = se.Line, se.Col, bare(se)
	}
	return r
}

// diagnose prints an error as compilers do, with the line and a caret.
func (a *app) diagnose(file string, text []byte, err error) {
	var se *policy.SyntaxError
	if !errors.As(err, &se) {
		fmt.Fprintf(a.stderr, "%s: %s %s\n", file, a.paint(a.stderr, red, "error:"), oneLine(err.Error()))
		return
	}
	place := file
	if se.Line > 0 {
		place = fmt.Sprintf("%s:%d:%d", file, se.Line, se.Col)
	}
	fmt.Fprintf(a.stderr, "%s: %s %s [%s]\n", a.paint(a.stderr, bold, place),
		a.paint(a.stderr, red, "error:"), bare(se), controlrpc.Symbol(se.Err))
	if lineOf(text, se.Line) != "" {
		src, marks := caret(lineOf(text, se.Line), se.Col, len(se.Token))
		fmt.Fprintf(a.stderr, "    %s\n    %s\n", src, a.paint(a.stderr, green, marks))
	}
	if looksSigned(text) && file != "-" {
		fmt.Fprintf(a.stderr, "ipe: %s %s holds a signed policy: ipe policy show %s\n", a.paint(a.stderr, bold, "hint:"), file, file)
	}
}

// bare is the message of a SyntaxError without its position.
func bare(se *policy.SyntaxError) string {
	e := *se
	e.Line, e.Col = 0, 0
	return e.Error()
}

// looksSigned reports whether text starts like a DER sequence of some length, or
// holds one as PEM.
func looksSigned(text []byte) bool {
	return bytes.HasPrefix(text, []byte{0x30, 0x82}) || bytes.HasPrefix(text, []byte{0x30, 0x80}) || isPEM(text)
}

// lines splits text. LF, CR and CRLF each end a line.
func lines(text []byte) []string {
	s := strings.ReplaceAll(string(text), "\r\n", "\n")
	return strings.Split(strings.ReplaceAll(s, "\r", "\n"), "\n")
}

// lineOf returns the n-th line, from 1.
func lineOf(text []byte, n int) string {
	all := lines(text)
	if n < 1 || n > len(all) {
		return ""
	}
	return all[n-1]
}

// maxBefore and maxAfter bound the bytes shown of a line before the marked token
// and from its start on.
const maxBefore, maxAfter = 80, 80

// caret returns a printable form of the line, cut around the token that starts
// at byte column col and is size bytes long, and the marks that go below it.
func caret(line string, col, size int) (src, marks string) {
	start := min(max(col-1, 0), len(line))
	end := min(start+max(size, 1), len(line))
	head, token, tail := line[:start], line[start:end], line[end:]
	if len(head) > maxBefore {
		head = "..." + head[len(head)-maxBefore:]
	}
	if len(token) > maxAfter {
		token, tail = token[:maxAfter], "..."
	} else if room := maxAfter - len(token); len(tail) > room {
		tail = tail[:room] + "..."
	}
	head, token = printable(head), printable(token)
	marks = blank(head) + "^" + strings.Repeat("~", max(utf8.RuneCountInString(token)-1, 0))
	return head + token + printable(tail), marks
}

// blank replaces everything but tabs by a space.
func blank(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, s)
}

// warn prints what is legal and probably not meant.
func (a *app) warn(file string, text []byte, p *policy.Policy) {
	if n := bytes.IndexByte(text, 0); n >= 0 && n+1 < len(text) {
		fmt.Fprintf(a.stderr, "%s:%d: %s a NUL byte ends the policy here; %s behind it counted for nothing\n",
			file, len(lines(text[:n])), a.paint(a.stderr, yellow, "warning:"), count(len(text)-n-1, "byte"))
	}
	for _, w := range policy.Lint(p) {
		place := file
		if w.Line > 0 {
			place = fmt.Sprintf("%s:%d", file, w.Line)
		}
		fmt.Fprintf(a.stderr, "%s: %s %s\n", place, a.paint(a.stderr, yellow, "warning:"), w.Msg)
	}
}

// count returns "1 rule" or "3 rules".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
