//go:build linux

package vm

import (
	"fmt"
	"math"
	"sync"
	"time"
)

// readTSC reads the processor's time stamp counter.
func readTSC() uint64

// Bounds of the measure of the counter's frequency: the time between its two ends, and
// the tries at each end, of which that one counts which was interrupted least.
const (
	tscSpan  = 50 * time.Millisecond
	tscTries = 50
)

// tscArgs tells a guest's kernel how fast its time stamp counter is. An emulated one is
// the host's. Left alone, the kernel measures it by an emulated timer while it boots; on
// a busy host that can go so wrong that the guest lives many seconds in one of ours, and
// everything in it that has a time limit fails. Nor may it compare the counters of two
// processors that take turns: Linux 6.1 then reads an emulated timer wherever a program
// asks for the time, which takes a guest half again as long.
func tscArgs(cfg Config, accel string) []string {
	if accel != accelTCG || cfg.CountInstructions {
		return nil
	}
	return []string{fmt.Sprintf("tsc_early_khz=%d", hostTSC()), "tsc=reliable"}
}

// hostTSC is the frequency of this machine's counter, in kHz.
var hostTSC = sync.OnceValue(measureTSC)

func measureTSC() uint64 {
	fromCount, from := tscNow()
	time.Sleep(tscSpan)
	toCount, to := tscNow()
	return uint64(float64(toCount-fromCount) / float64(to.Sub(from)) * float64(time.Millisecond))
}

// tscNow is the counter and the time at one moment.
func tscNow() (count uint64, at time.Time) {
	least := time.Duration(math.MaxInt64)
	for range tscTries {
		before := time.Now()
		c := readTSC()
		if took := time.Since(before); took < least {
			count, at, least = c, before.Add(took/2), took
		}
	}
	return count, at
}
