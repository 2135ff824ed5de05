//go:build linux && !guest

package main

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/program"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

// TestVMIndistinguishable is the short form of make conformance: all scenarios and a
// short walk, in all configurations. IPE_CONFORMANCE_POLICIES makes the walk longer,
// IPE_CONFORMANCE_SEED repeats one.
func TestVMIndistinguishable(t *testing.T) {
	t.Parallel()
	trackSources(t)
	r, err := newRig(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var log, differences, screen bytes.Buffer
	r.seed, r.policies, r.timeout, r.log = number(t, "IPE_CONFORMANCE_SEED", uint64(time.Now().UnixNano())), 0, time.Hour, &log
	r.policies = int(number(t, "IPE_CONFORMANCE_POLICIES", 25))
	rep, err := conform(t.Context(), r, 2, &differences)
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(log.Bytes()))
	}
	if err := rep.print(&screen); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", screen.String())
	if !rep.OK {
		t.Error(differences.String())
	}
	for _, c := range rep.Configurations {
		if c.Decisions < 1000 || c.Witnessed < 1000 {
			t.Errorf("%s: %d decisions, %d by eval: fewer than there are scenarios for", c.Name, c.Decisions, c.Witnessed)
		}
	}
}

func number(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// trackSources looks at the sources of all that is built for the guests.
func trackSources(t *testing.T) {
	t.Helper()
	const module = "github.com/ipe-linux/ipe"
	err := vmtest.TrackSources(t.Context(), module+"/cmd/iped", module+"/internal/lab/scenarios/probe", module+"/internal/lab/vm/guestinit")
	if err != nil {
		t.Fatal(err)
	}
}

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		args string
		want int
	}{
		{"--help", 0}, {"--jobs 0", 2}, {"--frob", 2}, {"x", 2}, {"--policies -1", 2},
	} {
		var stdout, stderr bytes.Buffer
		if got := differential().Run(t.Context(), program.Surroundings{Args: strings.Fields(tt.args), Stdout: &stdout, Stderr: &stderr}); got != tt.want || stderr.Len() == 0 {
			t.Errorf("%s: status %d, want %d; stderr %q", tt.args, got, tt.want, &stderr)
		}
	}
}
