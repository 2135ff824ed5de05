package ui

import "github.com/ipe-linux/ipe/internal/hint"

// Complaints are errors about single files, printed while the others go on.
type Complaints struct {
	// N is how many there were.
	N int

	u      *UI
	bar    *Progress // or nil
	hinted map[string]bool
}

// Complaints begins them, beside a line of progress if bar is not nil.
func (u *UI) Complaints(bar *Progress) *Complaints {
	return &Complaints{u: u, bar: bar, hinted: map[string]bool{}}
}

// Add prints an error, and its hint if nobody has read it yet. As JSON, each has its
// own.
func (c *Complaints) Add(err error) {
	c.N++
	c.bar.aside(c.u.stderr)
	hint := hint.Of(err)
	if c.hinted[hint] && !c.u.JSON {
		hint = ""
	}
	if hint != "" {
		c.hinted[hint] = true
	}
	c.u.complainWith(err, hint)
}
