package policy

import (
	"bytes"

	"github.com/ipe-linux/ipe/policy/internal/lex"
)

// Diagnose returns all that is wrong with a text, in its order: nothing if Parse takes
// it, and otherwise the error of Parse first. A word that only follows from a mistake
// before it in the same line is not told. What is told of the policy as a whole, that
// operations have no default, has the place of the header and comes last. Package
// policy/syntax gives the same with ranges.
func Diagnose(text []byte) []*SyntaxError {
	d := diagnosis{parser: newParser(text)}
	d.run()
	return d.found
}

// diagnosis is a parser that goes on behind a mistake.
type diagnosis struct {
	*parser
	found []*SyntaxError
	// lost: a line that may have been a default was refused.
	lost bool
}

func (d *diagnosis) run() {
	for {
		raw, ok := d.lines.Next()
		if !ok {
			break
		}
		stmt, _ := lex.Split(raw)
		switch {
		case len(stmt) == 0:
		case d.at == 0:
			if !d.top(stmt) {
				return
			}
		default:
			d.line(lex.Of(stmt))
		}
	}
	if err := d.whole(); err != nil && (d.at == 0 || !d.lost) {
		d.add(err)
	}
}

func (d *diagnosis) add(err error) {
	if e, ok := err.(*SyntaxError); ok {
		d.found = append(d.found, e)
	}
}

// top looks at the first statement. It returns false if nothing can be said of the rest.
func (d *diagnosis) top(stmt []byte) bool {
	err := d.header(lex.Of(stmt))
	if err == nil {
		return true
	}
	d.add(err)
	if d.found[0].Code == CodeEncoding {
		return false
	}
	d.at, d.head = d.lines.Number, d.lines.Number
	if bytes.HasPrefix(stmt, []byte(lex.KeyOp+"=")) || bytes.HasPrefix(stmt, []byte(lex.Default)) {
		d.line(lex.Of(stmt)) // the header was forgotten
	}
	return true
}

// line looks at a line behind the header. While it has no mistake, it does what statement
// does.
func (d *diagnosis) line(t lex.Tokens) {
	var isDefault, named, bad bool
	op := OpUnknown
	d.props = d.props[:0]
	for first := true; ; first = false {
		tok, _ := t.Next()
		switch {
		case tok.Last:
			d.last(tok, isDefault, op, bad)
			return
		case first && string(tok.Text) == lex.Default:
			isDefault = true
		case !named:
			if op = operation(tok.Text); op != OpUnknown {
				named = true
				continue
			}
			err := explainOperation(tok.Text)
			d.add(d.fail(tok, err))
			isDefault = isDefault || err.Fix == lex.Default
			bad, named = true, err.Fix != lex.Default
			if err.Code != CodeOperation {
				d.lost = d.lost || isDefault
				return // no rule at all: what follows is nothing of the language
			}
		default:
			prop, err := d.property(tok.Text)
			if err == nil {
				d.props = append(d.props, prop)
				continue
			}
			if !bad || ownMistake(tok.Text) {
				d.add(d.fail(tok, err))
			}
			bad = true
		}
	}
}

// last looks at the last word of a line, bad if there was a mistake before.
func (d *diagnosis) last(tok lex.Token, isDefault bool, op Op, bad bool) {
	if !bad {
		err := d.finish(tok, isDefault, op)
		d.add(err)
		d.lost = d.lost || err != nil && (isDefault)
		return
	}
	d.lost = d.lost || isDefault
	if action(tok.Text) == NoAction && ownMistake(tok.Text) {
		d.add(d.fail(tok, explainAction(tok.Text)))
	}
}

// ownMistake reports whether a refused word behind another is a mistake of its own, not
// what is left of the first: it is something=something.
func ownMistake(tok []byte) bool {
	i := bytes.IndexByte(tok, '=')
	return i > 0 && i < len(tok)-1
}
