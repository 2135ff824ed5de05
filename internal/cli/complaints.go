package cli

import "fmt"

// complaints are errors about single files, printed while the others go on.
type complaints struct {
	a      *app
	bar    *progress // or nil
	n      int
	hinted map[string]bool
}

// add prints an error, and its hint if nobody has read it yet.
func (c *complaints) add(err error) {
	c.n++
	c.bar.aside(c.a.stderr)
	fmt.Fprintf(c.a.stderr, "ipe: %s %s\n", c.a.paint(c.a.stderr, red, "error:"), oneLine(err.Error()))
	if hint := hintOf(err); hint != "" && !c.hinted[hint] {
		if c.hinted == nil {
			c.hinted = map[string]bool{}
		}
		c.hinted[hint] = true
		fmt.Fprintf(c.a.stderr, "ipe: %s %s\n", c.a.paint(c.a.stderr, bold, "hint:"), hint)
	}
}
