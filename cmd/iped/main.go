// Command iped deploys signed policies to the engine that enforces them, keeps
// them across reboots, and tells on a Unix socket what it knows. It does not take
// part in decisions: those are the kernel's, and go on when iped ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/ipe-linux/ipe/internal/controlfs"
	"github.com/ipe-linux/ipe/internal/controlrpc"
)

// gcPercent trades a little work at start for a small idle process.
const gcPercent = 50

func main() {
	if os.Args[0] == controlfs.WatchdogName {
		os.Exit(controlfs.Watchdog(os.Args[1:]))
	}
	os.Exit(run(os.Args[1:], os.Geteuid(), os.Stdout, os.Stderr))
}

// run is main with its surroundings as parameters. Exit codes are 0 after a stop
// that was asked for, 1 after a failure and 2 for a wrong command line.
func run(args []string, uid int, stdout, stderr io.Writer) int {
	cfg, err := parseFlags(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "iped: error: %v\n", err)
		return 2
	case cfg.version:
		fmt.Fprintf(stdout, "iped %s\n", controlrpc.BuildVersion())
		return 0
	case uid != 0:
		fmt.Fprintf(stderr, "iped: error: iped needs root\niped: hint: start it with systemctl start iped\n")
		return 1
	}
	debug.SetGCPercent(gcPercent)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := serve(ctx, cfg, openEngine, newLogger(stderr)); err != nil {
		fmt.Fprintf(stderr, "iped: error: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		for _, h := range hints(err) {
			fmt.Fprintf(stderr, "iped: hint: %s\n", h)
		}
		return 1
	}
	return 0
}

// newLogger logs to w, without the time where the journal adds its own.
func newLogger(w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{}
	if os.Getenv("JOURNAL_STREAM") != "" {
		opts.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// hints collects what the error and its causes suggest.
func hints(err error) []string {
	var out []string
	if h, ok := err.(interface{ Hint() string }); ok && h.Hint() != "" {
		out = append(out, h.Hint())
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		if next := u.Unwrap(); next != nil {
			out = append(out, hints(next)...)
		}
	case interface{ Unwrap() []error }:
		for _, next := range u.Unwrap() {
			out = append(out, hints(next)...)
		}
	}
	return out
}
