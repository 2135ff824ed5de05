package policies

import (
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/policy/syntax"
)

// maxMistakes bounds how many mistakes of a text are printed: a text with more is no policy
// that somebody is about to mend line by line. JSON has all.
const maxMistakes = 20

// mistakes are all that is wrong with a text that was refused with err; none if that is
// about something else. Of what is no text at all, only the first says something.
func mistakes(text []byte, tree *syntax.File, err error) []*syntax.Error {
	var first *policy.SyntaxError
	if !errors.As(err, &first) {
		return nil
	}
	all := tree.Errors()
	if looksSigned(text) {
		all = all[:1]
	}
	return all
}

// diagnoseAll is diagnose for all mistakes of a text.
func (a *app) diagnoseAll(file string, text []byte, err error) {
	tree := syntax.Parse(text)
	all := mistakes(text, tree, err)
	if len(all) == 0 {
		a.diagnoseIn(file, text, tree, err)
		return
	}
	for _, e := range all[:min(len(all), maxMistakes)] {
		a.diagnoseIn(file, text, tree, e)
	}
	if more := len(all) - maxMistakes; more > 0 {
		a.Hint(fmt.Sprintf("%s has %s: --json shows all", plain.Name(file), ui.Count(more, "further mistake")))
	}
}

func checkErrors(text []byte, err error) []checkError {
	list := []checkError{}
	if err == nil {
		return list
	}
	for _, e := range mistakes(text, syntax.Parse(text), err) {
		list = append(list, checkError{
			Line: e.Line, Column: e.Col, Length: len(e.Token), Errno: ui.Symbol(e), Code: string(e.Code), Message: bare(&e.SyntaxError), Fix: e.Fix,
		})
	}
	return list
}
