//go:build linux

// Command differential proves that ipe cannot be told from the kernel's own IPE. It
// boots a guest for each thing that enforces and each kernel, has the scenarios and
// the random walk of package scenarios run there, and compares the transcripts line
// by line with that of the reference, the kernel's own IPE of Linux 6.12.
//
//	go run ./internal/lab/differential [--policies 3000] [--seed N] [--json FILE] [--keep DIR]
//
// Differences that a kernel's generation makes are in a table, each with its reason;
// all others are failures, and so is an entry of the table that nothing matches.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"time"

	"github.com/ipe-linux/ipe/internal/decimal"
	"github.com/ipe-linux/ipe/internal/lab/program"
)

// options is the command line.
type options struct {
	seed            uint64
	first, policies int
	jobs            int
	json, keep      string
	only            string
	timeout         time.Duration
}

func main() { program.Main(differential().Run) }

// differential is the program: it is proven if there is no difference.
func differential() program.Proof[options] {
	return program.Proof[options]{
		Name:  "differential",
		Flags: flags,
		Check: func(o *options) error {
			if o.jobs < 1 || o.policies < 0 || o.first < 0 {
				return errors.New("a number is too small")
			}
			return nil
		},
		Prove: func(ctx context.Context, o options, stdout, stderr io.Writer) (bool, error) {
			rep, err := prove(ctx, o, stdout, stderr)
			return err == nil && rep.OK, err
		},
	}
}

func flags(fs *flag.FlagSet) *options {
	o := &options{}
	fs.Var(decimal.Flag(&o.seed, uint64(time.Now().UnixNano())), "seed", "`number` that the random policies come from; the same gives the same")
	fs.Var(decimal.Flag(&o.policies, 3000), "policies", "how many random policies")
	fs.Var(decimal.Flag(&o.first, 0), "first", "`number` of the first random policy")
	fs.Var(decimal.Flag(&o.jobs, 2), "jobs", "how many guests at a time")
	fs.StringVar(&o.only, "only", "", "run only the configurations of these `letters`")
	fs.StringVar(&o.json, "json", "", "write the outcome as JSON to this `file`, too")
	fs.StringVar(&o.keep, "keep", "", "keep transcripts, images and logs in this `directory`")
	fs.DurationVar(&o.timeout, "timeout", 3*time.Hour, "for each guest")
	return o
}

// prove runs everything and reports.
func prove(ctx context.Context, o options, stdout, stderr io.Writer) (*report, error) {
	dir, done, err := workDir(o.keep)
	if err != nil {
		return nil, err
	}
	defer done()
	r, err := newRig(ctx, dir)
	if err != nil {
		return nil, err
	}
	r.seed, r.first, r.policies, r.timeout, r.log, r.keep, r.only = o.seed, o.first, o.policies, o.timeout, stderr, o.keep != "", o.only
	rep, err := conform(ctx, r, o.jobs, stdout)
	if err != nil {
		return nil, err
	}
	if err := rep.print(stdout); err != nil || o.json == "" {
		return rep, err
	}
	f, err := os.Create(o.json)
	if err != nil {
		return nil, err
	}
	return rep, errors.Join(encode(f, rep), f.Close())
}

// workDir is the directory to keep, or a temporary one.
func workDir(keep string) (dir string, done func(), err error) {
	if keep != "" {
		return keep, func() {}, os.MkdirAll(keep, 0o755)
	}
	dir, err = os.MkdirTemp("", "differential-")
	return dir, func() { os.RemoveAll(dir) }, err
}
