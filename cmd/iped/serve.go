package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/controlrpc"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/policydir"
	"github.com/ipe-linux/ipe/internal/store"
	"github.com/ipe-linux/ipe/sign"
)

// opener makes the engine that the flag names.
type opener func(cfg config, whom trusted, log *slog.Logger) (opened, error)

// serve runs the daemon until ctx ends. Everything that needs no kernel comes
// first, so that a mistake in the configuration changes nothing.
func serve(ctx context.Context, cfg config, open opener, log *slog.Logger) error {
	whom, err := readTrust(cfg.trust)
	if err != nil {
		return err
	}
	boot, err := readBoot(cfg.bootPolicy)
	if err != nil {
		return err
	}
	st, err := store.Open(cfg.state)
	if err != nil {
		return err
	}
	defer st.Close()
	records, err := openSinks(cfg.audit, log)
	if err != nil {
		return err
	}
	defer records.close()
	records.reopenOnHangup(ctx)
	l, err := controlrpc.Listen(cfg.socket)
	if err != nil {
		return err
	}
	defer l.Close()
	eng, err := open(cfg, whom, log)
	if err != nil {
		return err
	}
	defer eng.Close()
	verifier, err := whom.verifier(eng.Engine, log)
	if err != nil {
		return err
	}
	mode, wrong := bootMode()
	found, unreadable := policydir.Read(cfg.policyDirs, sign.MaxLen)
	c := control.New(control.Config{Store: st, Verifier: verifier, Engine: eng.Engine, EngineReason: eng.reason, Log: log,
		Sinks: records.forControl(), Boot: boot, Mode: mode, Problems: slices.Concat(whom.skipped, wrong, unreadable)})
	roots, err := newVolumes(cfg.rootHashes, verifier, eng.Engine, c, log)
	if err != nil {
		return err
	}
	roots.read()
	files, err := mountTree(cfg.fs, c, log)
	if err != nil {
		return err
	}
	defer files.close()
	begin(c, found, log)
	roots.readAtSignal(ctx)
	return operate(ctx, c, l, files, eng.Engine, log)
}

// settleTime is after how long a daemon that has started counts as idle.
const settleTime = 2 * time.Second

// operate answers on l and waits for the end.
func operate(ctx context.Context, c *control.Control, l *controlrpc.Listener, files *tree, eng engine.Engine, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	files.serve()
	// After Start, which learns whose decisions the engine kept while iped was away.
	events := make(chan error, 1)
	go func() { events <- c.Run(ctx) }()
	debug.FreeOSMemory()
	// And once more, for the garbage of the first requests and of concurrent starters.
	defer time.AfterFunc(settleTime, debug.FreeOSMemory).Stop()
	status := c.Status()
	log.Info("ready", "summary", status.Summary, "engine", status.Engine, "socket", l.Addr().String(),
		"version", controlrpc.BuildVersion())
	notify(log, daemon.SdNotifyReady+"\nSTATUS="+status.Summary)

	go pulse(ctx, log, func() bool { c.Mode(); return files.alive() })

	served := make(chan error, 1)
	go func() { served <- controlrpc.Serve(ctx, l, c, log) }()
	err := firstEnd(ctx, served, events)
	notify(log, daemon.SdNotifyStopping)
	cancel()
	if err == nil {
		err = <-served
	}
	farewell(eng, log)
	return err
}

// firstEnd waits for the end that was asked for, or for a failure.
func firstEnd(ctx context.Context, served, events <-chan error) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-served:
		return err
	case err := <-events:
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("decisions are no longer received: %w", err)
	}
}

// farewell says what the kernel goes on doing.
func farewell(eng engine.Engine, log *slog.Logger) {
	switch st, err := eng.State(); {
	case err != nil:
		log.Error("stopped; the kernel's state cannot be read", "error", err)
	case !st.HasPolicy:
		log.Info("stopped; no policy is active, everything is allowed")
	case !st.Mode.Enforce:
		log.Info("stopped; the policy stays active, permissive", "generation", st.Generation)
	default:
		log.Info("stopped; the kernel goes on enforcing", "generation", st.Generation, "hooks", st.Hooks)
	}
}
