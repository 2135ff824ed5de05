//go:build linux

package vm

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// A guest's time is counted in what the host's processors gave it, so that a busy host
// does not end a guest that is only slow. One that waits for something that never comes
// uses none; it has patience times its time by the clock.
const (
	patience   = 6
	budgetStep = 500 * time.Millisecond
	tickLength = 10 * time.Millisecond // USER_HZ is 100 on all that Go runs on
)

// Longest is how long a guest with that timeout can run by the clock.
func Longest(timeout time.Duration) time.Duration { return patience * timeout }

// allow ends ctx, with ErrTimeout, when the process has had its time.
func allow(ctx context.Context, end context.CancelCauseFunc, pid int, timeout time.Duration) {
	tick := time.NewTicker(budgetStep)
	defer tick.Stop()
	begin, last := time.Now(), time.Now()
	used, before := time.Duration(0), time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, cpu := time.Now(), processorTime(pid)
		// Several virtual processors do not make the time go faster.
		used += min(cpu-before, now.Sub(last))
		before, last = cpu, now
		if wall := now.Sub(begin); used > timeout || wall > Longest(timeout) {
			end(fmt.Errorf("%w (%v; it ran %v of %v)", ErrTimeout, timeout, used.Round(time.Second), wall.Round(time.Second)))
			return
		}
	}
}

// processorTime is what a process has used of processors, 0 if it is gone.
func processorTime(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// Behind the name, which may hold anything, come the state and ten numbers.
	const user = 11
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var sum time.Duration
	for i := user; i < user+2 && i < len(fields); i++ {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0
		}
		sum += time.Duration(n) * tickLength
	}
	return sum
}
