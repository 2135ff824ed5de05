package clitest

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/control/profiles"
	"github.com/ipe-linux/ipe/internal/control/rpc/server"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/engine"
)

// Serve serves policies on the socket "s" of the working directory, until stop is called
// or the test ends.
func Serve(t *testing.T, eng *controltest.Engine, texts ...string) (c control.Actor, stop func()) {
	t.Helper()
	return ServeFor(t, controltest.NewSigner(t, "signer\x1b[2J"), profiles.Flags{}, eng, texts...)
}

// ServeFor is Serve by an iped with the flags, which trusts the signer.
func ServeFor(t *testing.T, signer *controltest.Signer, flags profiles.Flags, eng engine.Engine, texts ...string) (c control.Actor, stop func()) {
	t.Helper()
	st, err := store.Open("state")
	if err != nil {
		t.Fatal(err)
	}
	ctl := control.New(control.Config{Store: st, Verifier: control.Certificates(signer.Keyring()), Engine: eng, Preflight: &controltest.Preflight{}})
	profiled := profiles.Open(profiles.Config{State: "state", Verify: control.Certificates(signer.Keyring()).Verify, Flags: flags, Log: slog.New(slog.DiscardHandler)})
	profiled.Attach(ctl, eng)
	if err := ctl.Start(); err != nil {
		t.Fatal(err)
	}
	c = ctl.By(audit.Nobody())
	for _, text := range texts {
		if _, err := c.Load(signer.Sign(t, text)); err != nil {
			t.Fatalf("load %q: %v", text, err)
		}
	}
	l, err := server.Listen("s")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := ctl.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() {
		if err := server.Serve(ctx, l, nil, controltest.Daemon{Control: ctl, Profiles: profiled}, slog.New(slog.DiscardHandler)); err != nil {
			t.Error(err)
		}
	})
	stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(func() {
		stop()
		profiled.Close()
		st.Close()
	})
	return c, stop
}
