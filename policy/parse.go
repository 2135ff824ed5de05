package policy

import (
	"bytes"

	"github.com/ipe-linux/ipe/policy/internal/lex"
)

// minRule is the length of the shortest rule, "op=POLICY action=DENY\n". It
// bounds how many rules are made room for.
const minRule = 22

// Parse reads a policy. It accepts and refuses what Linux 6.12 does: the first
// NUL byte ends the text, 0xA0 counts as a trailing blank, nothing is quoted,
// and the leftmost error of the topmost bad line is the one reported. Every
// error is a *SyntaxError. The policy keeps nothing of text.
func Parse(text []byte) (*Policy, error) {
	p := newParser(text)
	if err := p.run(); err != nil {
		return nil, err
	}
	return p.pol, nil
}

// parser holds a policy in the making.
type parser struct {
	lines lex.Lines
	cut   bool // a NUL byte ends the text before its end
	pol   *Policy
	at    int // the line of the last statement; 0 before the header
	head  int // the line of the header

	props []Property // of the present rule
	slab  []Property // where finished rules keep theirs
	sum   []byte     // scratch for the bytes of a digest
	alg   string     // algorithm of the last digest
}

var lf = []byte{'\n'}

func newParser(text []byte) *parser {
	text, ignored := lex.Cut(text)
	p := &parser{lines: lex.Over(text), cut: len(ignored) > 0, pol: &Policy{}}
	p.pol.Rules = make([]Rule, 0, min(bytes.Count(text, lf), len(text)/minRule))
	return p
}

// run parses all lines, the first of them as header. What concerns the whole
// is checked last, since an error in a line comes before it.
func (p *parser) run() error {
	for {
		raw, ok := p.lines.Next()
		if !ok {
			break
		}
		stmt, _ := lex.Split(raw)
		if len(stmt) == 0 {
			continue
		}
		parse := p.statement
		if p.at == 0 {
			parse = p.header
		}
		if err := parse(lex.Of(stmt)); err != nil {
			return err
		}
	}
	return p.whole()
}

// whole checks that there is a header and a default for each operation.
func (p *parser) whole() error {
	if p.at == 0 {
		err := refuse(ErrSyntax, CodeNoHeader, "no header: a policy begins with policy_name=NAME policy_version=1.0.0%s", p.nulNote())
		err.Line, err.Col = 1, 1
		return err
	}
	if missing := p.pol.withoutDefault(); p.pol.Default == NoAction && len(missing) > 0 {
		err := refuse(ErrSyntax, CodeNoDefault, "no default for %s: add DEFAULT action=DENY below the header, or one for each of them%s", join(missing), p.nulNote())
		err.Line, err.Col = p.head, 1 // below which one belongs; no rule is at fault
		return err
	}
	return nil
}

// withoutDefault returns the operations that have no default of their own.
func (p *Policy) withoutDefault() []Op {
	var ops []Op
	for _, op := range Ops() {
		if p.OpDefault.Of(op) == NoAction {
			ops = append(ops, op)
		}
	}
	return ops
}

// statement parses a line behind the header: a default or a rule.
func (p *parser) statement(t lex.Tokens) error {
	var isDefault bool
	op := OpUnknown
	p.props = p.props[:0]
	for first := true; ; first = false {
		tok, _ := t.Next()
		switch {
		case tok.Last:
			return p.finish(tok, isDefault, op)
		case first && string(tok.Text) == lex.Default:
			isDefault = true
		case op == OpUnknown:
			if op = operation(tok.Text); op == OpUnknown {
				return p.fail(tok, explainOperation(tok.Text))
			}
		default:
			prop, err := p.property(tok.Text)
			if err != nil {
				return p.fail(tok, err)
			}
			p.props = append(p.props, prop)
		}
	}
}

// finish takes the last token, which can only be an action, and stores what the
// line says.
func (p *parser) finish(tok lex.Token, isDefault bool, op Op) error {
	p.at = p.lines.Number
	act := action(tok.Text)
	switch {
	case act == NoAction:
		return p.fail(tok, explainAction(tok.Text))
	case isDefault:
		return p.setDefault(tok, op, act)
	case op == OpUnknown:
		return p.fail(tok, refuse(ErrSyntax, CodeNoOperation, "no operation before the action: write op=EXECUTE %s", tok.Text))
	}
	p.pol.Rules = append(p.pol.Rules, Rule{Op: op, Properties: p.keep(), Action: act, Line: p.lines.Number})
	return nil
}

func (p *parser) setDefault(tok lex.Token, op Op, act Action) error {
	if len(p.props) > 0 {
		return p.fail(tok, refuse(ErrSyntax, CodeDefaultProperty, "a default takes no property: leave out %s, or DEFAULT", p.props[0].Key))
	}
	slot, of := &p.pol.Default, "a global default"
	if op != OpUnknown {
		slot, of = &p.pol.OpDefault.actions[op], "a default for "+op.String()
	}
	if *slot != NoAction {
		return p.fail(tok, refuse(ErrSyntax, CodeSecondDefault, "there is %s already", of))
	}
	*slot = act
	return nil
}

// keep returns the present rule's properties in memory of their own. Rules
// share slabs, so that thousands of them cost a few allocations.
func (p *parser) keep() []Property {
	n := len(p.props)
	if n == 0 {
		return nil
	}
	if cap(p.slab)-len(p.slab) < n {
		p.slab = make([]Property, 0, max(n, min(cap(p.pol.Rules), 512)))
	}
	start := len(p.slab)
	p.slab = append(p.slab, p.props...)
	return p.slab[start : start+n : start+n]
}

// fail gives err the position of tok in the present line.
func (p *parser) fail(tok lex.Token, err *SyntaxError) error {
	err.Line, err.Col, err.Token = p.lines.Number, tok.Col, string(tok.Text)
	if p.lines.AtEnd() {
		err.Msg += p.nulNote()
	}
	return err
}

// nulNote reminds of a NUL byte, which no editor shows.
func (p *parser) nulNote() string {
	if !p.cut {
		return ""
	}
	return "; a NUL byte ends the policy here, what follows it is ignored (UTF-16 text has such bytes)"
}
