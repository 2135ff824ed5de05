package daemon

import "time"

// every calls do at each interval until done is closed, or do says that there is nothing
// more to do.
func every(done <-chan struct{}, interval time.Duration, do func() (more bool)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			if !do() {
				return
			}
		}
	}
}
