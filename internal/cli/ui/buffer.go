package ui

import (
	"bufio"
	"errors"
	"fmt"
)

// Buffer makes many lines one write where nobody waits for each. What it returns
// must be called at the end.
func (u *UI) Buffer() func(*error) {
	out := u.stdout
	if isTerminal(out) {
		return func(*error) {}
	}
	lines := bufio.NewWriter(out)
	u.stdout = lines
	return func(err *error) {
		u.stdout = out
		if e := lines.Flush(); e != nil && (*err == nil || errors.Is(*err, ErrSaid)) {
			*err = fmt.Errorf("write result: %w", e)
		}
	}
}
