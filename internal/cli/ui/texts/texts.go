// Package texts is what the commands about policies have in common with those about
// profiles: both are texts with a name and a version, which are checked, formatted, signed
// and verified.
package texts

import (
	"bytes"
	"fmt"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/profile"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/policy/lint"
	"github.com/ipe-linux/ipe/policy/syntax"
)

// Room has the commands about the texts of one language, and how they talk.
type Room struct {
	*ui.UI
	language
}

// Policies are the commands about policies.
func Policies(u *ui.UI) *Room { return &Room{u, policies()} }

// Profiles are the commands about profiles.
func Profiles(u *ui.UI) *Room { return &Room{u, profiles()} }

// Head is what a text says of itself. It is empty if the text is refused.
type Head struct{ Name, Version string }

// language is one of those in which texts are signed.
type language struct {
	// noun is what a text is, and the group of its commands.
	noun string
	// loads is what takes a signed text, and takers the same that refuses others.
	loads, takers string
	// file is the name of one in examples.
	file string
	// engines says for which engines a message is too long, if there are several.
	engines string
	// tooLong is what to do about a text for which no message has room.
	tooLong string

	parse    func(text []byte) (Head, error)
	diagnose func(text []byte) []*policy.SyntaxError
	format   func(src []byte) ([]byte, error)
	// odd is never nil.
	odd func(text []byte) []Warning
}

func policies() language {
	return language{
		noun: "policy", loads: "iped and into a kernel that has IPE", takers: "no kernel accepts", file: "site.pol",
		engines:  " for any engine, bpf or securityfs",
		tooLong:  "rules by dmverity_roothash, dmverity_signature or fsverity_signature stand for many files each; shorter comments help a little",
		diagnose: policy.Diagnose, format: syntax.Format, odd: oddPolicy,
		parse: func(text []byte) (Head, error) {
			p, err := policy.Parse(text)
			if err != nil {
				return Head{}, err
			}
			return Head{p.Name, p.Version.String()}, nil
		},
	}
}

func profiles() language {
	return language{
		noun: "profile", loads: "iped", takers: "iped refuses", file: "site.profile",
		tooLong:  "leave out exceptions that nothing needs any more; shorter comments help a little",
		diagnose: profile.Diagnose, format: profile.Format, odd: func([]byte) []Warning { return []Warning{} },
		parse: func(text []byte) (Head, error) {
			p, err := profile.Parse(text)
			if err != nil {
				return Head{}, err
			}
			return Head{p.Name, p.Version.String()}, nil
		},
	}
}

// languages are all of them.
func languages() []language { return []language{policies(), profiles()} }

// claims tells whether a text begins as those of the language do.
func (l language) claims(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return bytes.HasPrefix(line, []byte(l.noun+"_name="))
		}
	}
	return false
}

// other is what a text is, if it is one of another language; empty otherwise.
func (l language) other(text []byte) (noun string) {
	for _, o := range languages() {
		if o.noun != l.noun && o.claims(text) {
			return o.noun
		}
	}
	return ""
}

// Parse reads what a text says of itself. Of a text of another language, the error says
// which it is.
func (l language) Parse(text []byte) (Head, error) {
	head, err := l.parse(text)
	if other := l.other(text); err != nil && other != "" {
		err = fmt.Errorf("it is a %s: %w", other, err)
	}
	return head, err
}

// Warnings are what is legal and probably not meant, in a valid text that is so long.
func (l language) Warnings(text []byte, e Extent) []Warning {
	return append(l.odd(text), e.warnings()...)
}

// codeIgnoredBytes is not about the policy, but about the file.
const codeIgnoredBytes lint.Code = "ignored-bytes"

func oddPolicy(text []byte) []Warning {
	all := []Warning{}
	p, err := policy.Parse(text)
	if err != nil {
		return all
	}
	if nul := syntax.Parse(text).Ignored(); len(nul.Text) > 1 {
		all = append(all, Warning{nul.Pos.Line, codeIgnoredBytes, lint.Warning,
			fmt.Sprintf("a NUL byte ends the policy here; %s behind it counted for nothing", ui.Count(len(nul.Text)-1, "byte"))})
	}
	for _, w := range lint.Check(p) {
		all = append(all, Warning{w.Line, w.Code, w.Severity, w.Msg})
	}
	return all
}

// Each does something with all files, and then fails if one of them was refused, which has
// been said. Another error ends it.
func Each(files []string, do func(file string) (ok bool, err error)) error {
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
