package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/control/rpc/server"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/trust"
)

func TestMain(m *testing.M) {
	commands := map[string]func(){"ipe": main, "nokernel": nokernel}
	maps.Copy(commands, tokenCommands())
	testscript.Main(m, commands)
}

// update rewrites the expectations of scripts: go test ./cmd/ipe -args -update.
var update = flag.Bool("update", false, "rewrite the expectations in the scripts")

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("condition %q is not known", cond)
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("IPE_SOCKET", e.WorkDir+"/s")
			// The race detector has every process sleep for a second at its end.
			e.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
			return nil
		},
	})
}

// nokernel is iped without a kernel: nokernel SOCKET STATE TRUST. It stops when
// its standard input or the script ends.
func nokernel() {
	if err := serveWithoutKernel(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serveWithoutKernel(socket, state, trusted string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	ring, _, err := trust.Read(trusted)
	if err != nil {
		return err
	}
	st, err := store.Open(state)
	if err != nil {
		return err
	}
	defer st.Close()
	c := control.New(control.Config{Store: st, Verifier: control.Certificates(ring), Engine: controltest.NewEngine(), Preflight: &controltest.Preflight{}})
	if err := c.Start(); err != nil {
		return err
	}
	l, err := server.Listen(socket)
	if err != nil {
		return err
	}
	return server.Serve(ctx, l, nil, controltest.Daemon{Control: c, OnReload: c.Reverify}, slog.New(slog.DiscardHandler))
}
