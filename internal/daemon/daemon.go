// Package daemon is iped without its process: flags, trust, boot, start, reload and end.
// It joins the engines with what governs them, and is the one place that names both.
package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/ipe-linux/ipe/internal/built"
	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/fs"
	"github.com/ipe-linux/ipe/internal/control/sink/journal"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/linux/sysfilter"
	"github.com/ipe-linux/ipe/internal/plain"
)

// Main runs iped with the arguments of its process, whose name comes first, and returns
// the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	if args[0] == fs.WatchdogName {
		return fs.Watchdog(args[1:])
	}
	frugal()
	return run(args[1:], os.Geteuid(), sysfilter.Install, stdout, stderr)
}

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	// exitUnguarded: a policy was to be active, and none could be; or the start failed,
	// and nothing is attached that could enforce. A machine may be told not to go on then.
	exitUnguarded = 3
)

// run is main with its surroundings as parameters; confine gives up what the daemon
// never needs.
func run(args []string, uid int, confine func() error, stdout, stderr io.Writer) int {
	cfg, err := parseFlags(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "iped: error: %s\n", plain.Error(err))
		return exitUsage
	case cfg.version:
		fmt.Fprintf(stdout, "iped %s\n", built.Version())
		return exitOK
	case uid != 0:
		fmt.Fprintf(stderr, "iped: error: iped needs root\niped: hint: start it with systemctl start iped\n")
		return exitFailure
	}
	if err := confine(); err != nil {
		cfg.problems = append(cfg.problems, err) // no reason not to enforce
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := serve(ctx, cfg, openEngine, newLogger(stderr)); err != nil {
		fmt.Fprintf(stderr, "iped: error: %s\n", plain.Error(err))
		for _, h := range hint.All(err) {
			fmt.Fprintf(stderr, "iped: hint: %s\n", plain.Text(h))
		}
		return exitCode(err)
	}
	return exitOK
}

// unguarded is a failure after which nothing enforces.
type unguarded struct{ error }

func (u unguarded) Unwrap() error { return u.error }

func exitCode(err error) int {
	if errors.As(err, &unguarded{}) || errors.Is(err, control.ErrUnguarded) {
		return exitUnguarded
	}
	return exitFailure
}

// newLogger logs to the journal if the standard error output goes there, so that entries
// have priorities and fields; else to w.
func newLogger(w io.Writer) *slog.Logger {
	text := slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: journal.ReplaceLevel})
	if w == os.Stderr && journal.Available() {
		return slog.New(journal.New(text))
	}
	return slog.New(text)
}

// counted is the handler of a log for who counts what was not taken.
func counted(log *slog.Logger) slog.Handler {
	if j, ok := log.Handler().(*journal.Handler); ok {
		return j.Strict()
	}
	return log.Handler()
}
