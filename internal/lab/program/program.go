//go:build linux

// Package program is what the programs of the laboratory have in common that prove something:
// signals end them, and their exit status says whether it was proven.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Surroundings are what a program acts on.
type Surroundings struct {
	Args           []string
	Stdout, Stderr io.Writer
}

// Main does run with the surroundings of the process until a signal ends it, and ends the
// process with its exit status.
func Main(run func(context.Context, Surroundings) int) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, Surroundings{os.Args[1:], os.Stdout, os.Stderr}))
}

// Proof is a program. O is its command line.
type Proof[O any] struct {
	Name string
	// Flags adds the flags, which set what is in the options returned.
	Flags func(*flag.FlagSet) *O
	// Check refuses options that make no sense; it may be nil.
	Check func(*O) error
	// Prove reports whether all is as demanded; with an error, nothing was proven.
	Prove func(ctx context.Context, o O, stdout, stderr io.Writer) (bool, error)
}

// Run is the program. Exit codes are 0 if all is as demanded, 1 if not and 2 for a wrong
// command line.
func (p Proof[O]) Run(ctx context.Context, s Surroundings) int {
	o, err := p.options(s)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(s.Stderr, "%s: error: %v\n", p.Name, err)
		return 2
	}
	ok, err := p.Prove(ctx, *o, s.Stdout, s.Stderr)
	if err != nil {
		fmt.Fprintf(s.Stderr, "%s: error: %v\n", p.Name, err)
	}
	if err != nil || !ok {
		return 1
	}
	return 0
}

func (p Proof[O]) options(s Surroundings) (*O, error) {
	fs := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	fs.SetOutput(s.Stderr)
	o := p.Flags(fs)
	if err := fs.Parse(s.Args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("no arguments are taken, got %q", fs.Arg(0))
	}
	if p.Check == nil {
		return o, nil
	}
	return o, p.Check(o)
}
