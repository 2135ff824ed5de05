package texts

import (
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/policy/lint"
)

// Verdict is one line of check --json. Keys and their presence are an interface.
type Verdict struct {
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
	Engines  []string  `json:"engines"`
	Warnings []Warning `json:"warnings"`
	// Errors are all mistakes of the text, that of Line and Message among them.
	Errors []Mistake `json:"errors"`
}

// Mistake is one of a text. Length is that of the word at Line and Column, in bytes; Fix is
// what to write in its place, if that is known.
type Mistake struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Length  int    `json:"length"`
	Errno   string `json:"errno"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Fix     string `json:"fix"`
}

// Warning is what is legal and probably not meant; Line is 0 if it is about the whole text.
type Warning struct {
	Line     int           `json:"line"`
	Code     lint.Code     `json:"code"`
	Severity lint.Severity `json:"severity"`
	Message  string        `json:"message"`
}

// Verdict is what becomes of a text with err; all but the message's size is in it.
func (r *Room) Verdict(file string, text []byte, head Head, err error) Verdict {
	v := Verdict{File: file, Valid: err == nil, Name: head.Name, Version: head.Version, Engines: []string{}, Warnings: []Warning{}, Errors: []Mistake{}}
	if err == nil {
		return v
	}
	v.Errno, v.Message = ui.Symbol(err), plain.Error(err)
	var se *policy.SyntaxError
	if errors.As(err, &se) {
		v.Line, v.Column, v.Message = se.Line, se.Col, bare(se)
	}
	for _, e := range r.mistakes(text, err) {
		v.Errors = append(v.Errors, Mistake{
			Line: e.Line, Column: e.Col, Length: len(e.Token), Errno: ui.Symbol(e), Code: string(e.Code), Message: bare(e), Fix: e.Fix,
		})
	}
	return v
}

// Warn prints warnings about a file.
func (r *Room) Warn(file string, all []Warning) {
	for _, w := range all {
		place := plain.Name(file)
		if w.Line > 0 {
			place = fmt.Sprintf("%s:%d", place, w.Line)
		}
		r.WarnOf(place, "%s", w.Message)
	}
}
