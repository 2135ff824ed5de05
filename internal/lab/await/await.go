// Package await has tests wait until something is so, and not for a time in which it
// would be on the machine of whoever wrote them.
package await

import "time"

// Limit is how long anything may take, by the clock of the machine, or guest, on which the
// test runs. One that has many other things to do needs minutes for what takes a moment.
const Limit = 5 * time.Minute

// step is short to people and long to what is asked for.
const step = 10 * time.Millisecond

// Until asks until ok holds, and reports whether it came to that within Limit.
func Until(ok func() bool) bool { return within(Limit, ok) }

func within(limit time.Duration, ok func() bool) bool {
	for end := time.Now().Add(limit); !ok(); time.Sleep(step) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// NoError is Until for what fails in the meantime. It returns the last error.
func NoError(do func() error) (err error) {
	Until(func() bool { err = do(); return err == nil })
	return err
}
