package ui

import (
	"fmt"

	"github.com/ipe-linux/ipe/internal/plain"
)

// ComplainOf prints an error about a file, without ipe's name. It is for text alone: with
// --json there is Complain. The place is printed as it is.
func (u *UI) ComplainOf(place string, err error) {
	fmt.Fprintf(u.stderr, "%s: %s %s\n", place, u.paint(u.stderr, Red, "error:"), plain.Error(err))
}

// ComplainAt is ComplainOf for a place in a text. As compilers do it, it shows the line with
// marks below, if there is a line.
func (u *UI) ComplainAt(place, message, line, marks string) {
	fmt.Fprintf(u.stderr, "%s: %s %s\n", u.paint(u.stderr, Bold, place), u.paint(u.stderr, Red, "error:"), plain.Text(message))
	if line != "" {
		fmt.Fprintf(u.stderr, "    %s\n    %s\n", line, u.paint(u.stderr, Green, marks))
	}
}
