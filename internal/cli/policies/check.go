package policies

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/policy/lint"
	"github.com/ipe-linux/ipe/policy/syntax"
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
	// Size is that of the signed message in bytes: at least, or with --cert at most; of a
	// boot policy that of the text. Room is how many more fit, negative if it is too long.
	Size int `json:"size"`
	Room int `json:"room"`
	// Engines are those that take it, of bpf and securityfs.
	Engines  []string       `json:"engines"`
	Warnings []checkWarning `json:"warnings"`
	// Errors are all mistakes of the text, that of Line and Message among them.
	Errors []checkError `json:"errors"`
}

// checkError is a mistake. Length is that of the word at Line and Column, in bytes; Fix is
// what to write in its place, if that is known.
type checkError struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Length  int    `json:"length"`
	Errno   string `json:"errno"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Fix     string `json:"fix"`
}

// checkWarning is what is legal and probably not meant; Line is 0 if it is about the whole
// policy.
type checkWarning struct {
	Line     int           `json:"line"`
	Code     lint.Code     `json:"code"`
	Severity lint.Severity `json:"severity"`
	Message  string        `json:"message"`
}

// Codes of what is not about the policy, but about the file or the message.
const (
	codeIgnoredBytes lint.Code = "ignored-bytes"
	codeLittleRoom   lint.Code = "little-room"
)

func (a *app) check() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use: "check FILE...", Short: "Say whether a kernel would accept policy texts", Args: ui.Some("at least one FILE"),
		Long: "Check parses policy texts as the kernel does, shows all that is wrong with them, and says how long\n" +
			"the signed message is at least: no engine takes one of more than 65535 bytes, neither iped's own\n" +
			"(bpf) nor the kernel's (securityfs). A text that no such message can hold is an error. FILE - is\n" +
			"standard input.\n\n" +
			"With --json each file gives one line\n" +
			`  {"file","valid","errno","name","version","line","column","message","size","room","engines","warnings","errors"}` + "\n" +
			"where errno is the kernel's symbol, EBADMSG, EINVAL, ERANGE or EMSGSIZE, or empty; or that of what\n" +
			"keeps a file from being read. size is that of the message in bytes, room how many more fit. Errors\n" +
			"and warnings have a code that stays, warnings also a severity: info, warning or error.\n\n" +
			"Exit status 0 only if every file is valid.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.prepare(cmd, &f); err != nil {
				return err
			}
			return a.runCheck(args, &f)
		},
	}
	f.flags(cmd)
	return cmd
}

func (a *app) runCheck(files []string, f *checkFlags) error {
	return each(files, func(file string) (ok bool, err error) { return a.checkFile(file, f) })
}

// each does something with all files, and then fails if one of them was refused, which has
// been said. Another error ends it.
func each(files []string, do func(file string) (ok bool, err error)) error {
	refused := false
	for _, file := range files {
		ok, err := do(file)
		if err != nil {
			return err
		}
		refused = refused || !ok
	}
	if refused {
		return ui.ErrSaid
	}
	return nil
}

// checkFile checks and reports one file; err is only about writing the report.
func (a *app) checkFile(file string, f *checkFlags) (ok bool, err error) {
	text, err := a.Read(file)
	var p *policy.Policy
	if err == nil {
		p, err = policy.Parse(text)
	}
	x := f.extent(text)
	if err == nil {
		err = x.err()
	}
	if a.JSON {
		r := resultOf(file, p, err)
		r.Errors = checkErrors(text, err)
		if p != nil {
			r.Size, r.Room, r.Engines, r.Warnings = x.size, x.room(), x.engines(p), warnings(text, p, x)
		}
		return err == nil, a.PrintJSON(r)
	}
	if err != nil {
		a.diagnoseAll(file, text, err)
		a.Hint(hint.Of(err))
		return false, nil
	}
	a.warn(file, warnings(text, p, x))
	return true, a.Result(nil, "%s: ok: %s %s, %s; %v\n", plain.Name(file), plain.Name(p.Name), p.Version, ui.Count(len(p.Rules), "rule"), x)
}

func resultOf(file string, p *policy.Policy, err error) checkResult {
	r := checkResult{File: file, Valid: err == nil, Engines: []string{}, Warnings: []checkWarning{}}
	if p != nil {
		r.Name, r.Version = p.Name, p.Version.String()
	}
	if err == nil {
		return r
	}
	r.Errno, r.Message = ui.Symbol(err), plain.Error(err)
	var se *policy.SyntaxError
	if errors.As(err, &se) {
		r.Line, r.Column, r.Message = se.Line, se.Col, bare(se)
	}
	return r
}

// diagnose prints an error as compilers do, with the line and a caret.
func (a *app) diagnose(file string, text []byte, err error) {
	a.diagnoseIn(file, text, syntax.Parse(text), err)
}

// diagnoseIn is diagnose for a text that was read already.
func (a *app) diagnoseIn(file string, text []byte, tree *syntax.File, err error) {
	var se *policy.SyntaxError
	isSyntax := errors.As(err, &se)
	place := plain.Name(file)
	if isSyntax && se.Line > 0 {
		place = fmt.Sprintf("%s:%d:%d", place, se.Line, se.Col)
	}
	switch {
	case a.JSON && isSyntax:
		a.Complain(fmt.Errorf("%s: %s%w", place, bare(se), silent{err}))
		return
	case a.JSON:
		a.Complain(fmt.Errorf("%s: %w", place, err))
		return
	case !isSyntax:
		a.ComplainOf(place, err)
		return
	}
	line, marks := lineOf(tree, se.Line), ""
	if line != "" {
		line, marks = caret(line, se.Col, len(se.Token))
	}
	a.ComplainAt(place, bare(se)+" ["+ui.Symbol(se.Err)+"]", line, marks)
	if looksSigned(text) && file != "-" {
		a.Hint(fmt.Sprintf("%s holds a signed policy: ipe policy show %s", plain.Name(file), hint.File(file)))
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

// lineOf returns the n-th line, from 1, as an editor shows it: a NUL byte does not end it.
// It is empty if there is none.
func lineOf(tree *syntax.File, n int) string {
	line, _ := tree.Line(n)
	if n < tree.NumLines() {
		return line.Text
	}
	rest := tree.Ignored().Text
	if end := strings.IndexAny(rest, "\r\n"); end >= 0 {
		rest = rest[:end]
	}
	return line.Text + rest
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
	head, token = ui.Masked(head), ui.Masked(token)
	marks = blank(head) + "^" + strings.Repeat("~", max(utf8.RuneCountInString(token)-1, 0))
	return head + token + ui.Masked(tail), marks
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

// warnings are what is legal and probably not meant.
func warnings(text []byte, p *policy.Policy, x extent) []checkWarning {
	all := []checkWarning{}
	if nul := syntax.Parse(text).Ignored(); len(nul.Text) > 1 {
		all = append(all, checkWarning{nul.Pos.Line, codeIgnoredBytes, lint.Warning,
			fmt.Sprintf("a NUL byte ends the policy here; %s behind it counted for nothing", ui.Count(len(nul.Text)-1, "byte"))})
	}
	for _, w := range lint.Check(p) {
		all = append(all, checkWarning{w.Line, w.Code, w.Severity, w.Msg})
	}
	if w := x.warning(); w != "" {
		all = append(all, checkWarning{0, codeLittleRoom, lint.Warning, w})
	}
	return all
}

// warn prints warnings about a file.
func (a *app) warn(file string, all []checkWarning) {
	for _, w := range all {
		place := plain.Name(file)
		if w.Line > 0 {
			place = fmt.Sprintf("%s:%d", place, w.Line)
		}
		a.WarnOf(place, "%s", w.Message)
	}
}

// silent is an error whose text has been told already.
type silent struct{ error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.error }
