package daemon

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"golang.org/x/sys/unix"
)

// gcPercent trades a little work at start for a small idle process.
const gcPercent = 50

// frugal makes this process small. Huge pages would make its sparse memory three times
// as large, by as much as the kernel found time for: after a while, on a busy machine,
// or never. Some are there before the first line of this program runs, so it starts
// itself anew without them. Failing makes iped larger and is no error.
func frugal() {
	debug.SetGCPercent(gcPercent)
	off, err := unix.PrctlRetInt(unix.PR_GET_THP_DISABLE, 0, 0, 0, 0)
	if err != nil || off != 0 || unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0) != nil {
		return
	}
	if file, err := os.Executable(); err == nil && isThisProgram(file) {
		_ = unix.Exec(file, os.Args, os.Environ()) // it returns only if it fails
	}
}

// isThisProgram reports whether a file is what this process executes, and has not been
// replaced since.
func isThisProgram(file string) bool {
	there, err := os.Stat(file)
	if err != nil {
		return false
	}
	self, err := os.Stat("/proc/self/exe")
	return err == nil && os.SameFile(there, self)
}

const (
	// trimInterval is how often a daemon looks whether it has garbage to give back. The
	// runtime does so after minutes, and never all of it.
	trimInterval = 2 * time.Second
	// trimWorth is how much must have been allocated since to make a collection worth
	// its price, some milliseconds, in bytes: what the last request leaves must be more, or
	// it stays for as long as the daemon is idle. An idle one allocates less for minutes.
	trimWorth = 64 << 10
)

// trim gives memory back that the start, a request or a loaded module has left, until
// ctx ends.
func trim(ctx context.Context) {
	before, again := uint64(0), false
	look := func() bool {
		if grew := allocated()-before > trimWorth; grew || again {
			debug.FreeOSMemory()
			forgetProgram()
			// What was in use then may be garbage when the next look finds nothing new.
			before, again = allocated(), grew
		}
		return true
	}
	look()
	every(ctx.Done(), trimInterval, look)
}

// allocated is how many bytes this process has ever allocated.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
