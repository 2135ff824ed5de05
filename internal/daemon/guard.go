package daemon

import (
	"errors"
	"log/slog"
	"slices"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/preflight"
	"github.com/ipe-linux/ipe/internal/control/profiles"
	"github.com/ipe-linux/ipe/internal/control/store"
)

// daemon is what iped consists of once the kernel enforces.
type daemon struct {
	log   *slog.Logger
	store *store.Store
	// profiles come before the engine, which is opened with what they ask.
	profiles *profiles.Profiles
	eng      opened
	c        *control.Control
	trust    *trusted
	roots    *volumes
	// events has the end of the reading of decisions.
	events chan error

	// records and files come later.
	records *sinks
	files   *tree

	// asked has those who wait for a reload.
	asked chan chan<- error
}

// guard makes the kernel enforce what is to be: the policy that was active, else the
// boot policy. Nothing is here that this does not need. What is wrong and can be done
// without becomes a problem. The root hashes are here, for without them a policy would
// deny volumes that it allows.
func guard(cfg config, open opener, start *starting, log *slog.Logger) (*daemon, error) {
	start.step("trust")
	whom := newTrusted(cfg.trust)
	skipped, failed := whom.read()
	boot, bootErr := readBoot(cfg.bootPolicy)
	start.step("state")
	var err error
	d := &daemon{log: log, trust: whom, events: make(chan error, 1), asked: make(chan chan<- error)}
	if d.store, err = store.Open(cfg.state); err != nil {
		return nil, err
	}
	d.profiles = profiles.Open(profiles.Config{State: cfg.state, Verify: whom.verify, Flags: cfg.flags(), Log: log})
	cfg.profiles = d.profiles
	start.step("engine")
	if d.eng, err = open(cfg, whom, log); err != nil {
		d.close()
		return nil, err
	}
	verifier, noKeyring := whom.verifier(d.eng.Engine, log)
	mode, wrong := bootMode()
	d.c = control.New(control.Config{Store: d.store, Verifier: verifier, Engine: d.eng.Engine, EngineReason: d.eng.reason, Log: log,
		Preflight: preflight.New(d.eng.Engine), Boot: boot, BootErr: bootErr, Mode: mode, Problems: slices.Concat(cfg.problems, noKeyring, wrong)})
	d.c.SetProblem(problemTrust, oneLine(slices.Concat(failed, skipped)))
	d.profiles.Attach(d.c, d.eng.Engine)
	start.step("root hashes")
	if d.roots, err = newVolumes(cfg.rootHashes, verifier, d.eng.Engine, d.c, log); err != nil {
		d.close()
		return nil, err
	}
	_ = d.roots.read() // Status shows it
	start.step("policy")
	if err := d.c.Start(); err != nil {
		log.Error("started with problems")
	}
	return d, nil
}

// close lets go of everything. The kernel goes on as it is.
func (d *daemon) close() {
	if d.files != nil {
		d.files.close()
	}
	if d.records != nil {
		d.records.close()
	}
	if d.eng.Engine != nil {
		if err := d.eng.Close(); err != nil {
			d.log.Error("close engine", "error", err)
		}
	}
	if err := errors.Join(d.profiles.Close(), d.store.Close()); err != nil {
		d.log.Error("close state", "error", err)
	}
}
