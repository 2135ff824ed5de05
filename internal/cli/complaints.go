package cli

// complaints are errors about single files, printed while the others go on.
type complaints struct {
	a      *app
	bar    *progress // or nil
	n      int
	hinted map[string]bool
}

// add prints an error, and its hint if nobody has read it yet. As JSON, each has its
// own.
func (c *complaints) add(err error) {
	c.n++
	c.bar.aside(c.a.stderr)
	hint := hintOf(err)
	if c.hinted[hint] && !c.a.json {
		hint = ""
	}
	if hint != "" {
		if c.hinted == nil {
			c.hinted = map[string]bool{}
		}
		c.hinted[hint] = true
	}
	c.a.complainWith(err, hint)
}
