package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/ipe-linux/ipe/internal/built"
	"github.com/ipe-linux/ipe/internal/control/rpc/server"
	"github.com/ipe-linux/ipe/internal/control/sink/journal"
	"github.com/ipe-linux/ipe/internal/daemon/policydir"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/sign"
)

// opener makes the engine that the flag names.
type opener func(cfg config, whom *trusted, log *slog.Logger) (opened, error)

// serve runs the daemon until ctx ends. What is to be enforced comes first; what can
// wait for it follows, and can neither prevent nor undo it.
func serve(ctx context.Context, cfg config, open opener, log *slog.Logger) error {
	hangups := hangups()
	before := enforces()
	start := beginStart(log)
	defer start.end()
	d, err := guard(cfg, open, start, log)
	switch {
	case err != nil && !before:
		return unguarded{err}
	case err != nil:
		return err
	}
	defer d.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { d.events <- d.c.Run(ctx) }()
	d.takeUp(cfg, start)
	l, err := server.Listen(cfg.socket)
	if err != nil {
		return err
	}
	defer l.Close()
	ready := make(chan struct{})
	served := beside(func() error { return server.Serve(ctx, l, ready, reloading{d.c, d.profiles, d}, log) })
	d.settle(ctx, cfg, start)
	if err := d.guarded(cfg.repair); err != nil {
		return err
	}
	close(ready)
	err = d.operate(ctx, l, served, hangups, start)
	cancel()
	if err == nil {
		err = <-served
	}
	farewell(d.eng, log)
	return err
}

// beside runs fn, and gives its error to whoever asks first. Others are told nil, and do not
// wait: the end that was asked for and that of fn come together, and either may be seen.
func beside(fn func() error) <-chan error {
	c := make(chan error, 1)
	go func() {
		c <- fn()
		close(c)
	}()
	return c
}

// takeUp deploys what came with the machine, which may be all that there is to enforce.
func (d *daemon) takeUp(cfg config, start *starting) {
	start.step("policy directories")
	found, unreadable := policydir.Read(cfg.policyDirs, sign.MaxLen)
	for i, err := range unreadable {
		d.c.SetProblem(fmt.Sprintf("policy directory %d", i+1), err)
	}
	d.deploy(found)
}

// settle does what a machine that enforces already can wait for.
func (d *daemon) settle(ctx context.Context, cfg config, start *starting) {
	start.step("signatures")
	if r, ok := d.eng.Engine.(engine.Recaller); ok {
		r.Recall()
	}
	start.step("records")
	d.records = openSinks(cfg.audit, d.c, d.log)
	go d.records.openLater(ctx)
	start.step("self-test")
	d.c.Prove()
	start.step("control tree")
	d.files = mountTree(ctx, cfg.fs, d.c, d.log)
}

// operate says that the start is over and waits for the end.
func (d *daemon) operate(ctx context.Context, l *server.Listener, served <-chan error, hangups <-chan os.Signal, start *starting) error {
	c, log := d.c, d.log
	go trim(ctx)
	status := c.Status()
	log.Info("ready", "summary", status.Summary, "engine", status.Engine, "socket", l.Addr().String(),
		"version", built.Version(), journal.Ready.Attr())
	start.end()
	notify(log, sd.SdNotifyReady+"\nSTATUS="+plain.Text(status.Summary))
	go d.reloadAt(ctx, hangups)
	go pulse(ctx, log, func() bool { c.Mode(); return d.files.alive() })

	err := firstEnd(ctx, served, d.events)
	notify(log, sd.SdNotifyStopping)
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
