package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/roothash"
)

// problemRoots is the key of problems with signed root hashes.
const problemRoots = "signed root hashes"

// errNoRootSigner: root hashes are given, and the engine takes only the kernel's word.
var errNoRootSigner = errors.New("--roothash-signature works with --engine bpf only: the kernel's own IPE takes signatures of opened volumes alone")

// volumes are the root hashes whose signatures iped verifies for the engine.
type volumes struct {
	paths  []string
	verify roothash.Verify
	signer engine.RootSigner // nil if the engine is none, and there are no paths
	c      *control.Control
	log    *slog.Logger
}

func newVolumes(paths []string, by control.Verifier, eng engine.Engine, c *control.Control, log *slog.Logger) (*volumes, error) {
	signer, takes := eng.(engine.RootSigner)
	verifier, asks := by.(detachedVerifier)
	switch {
	case takes && asks:
		return &volumes{paths: paths, verify: verifier.verifyDetached, signer: signer, c: c, log: log}, nil
	case len(paths) > 0:
		return nil, errNoRootSigner
	}
	return &volumes{}, nil
}

// read makes the engine trust what is signed now, and nothing that was before.
func (v *volumes) read() {
	if v.signer == nil {
		return
	}
	roots, problems := roothash.Read(v.paths, v.verify)
	problems = append(problems, v.signer.SetSignedRoots(roots))
	v.c.SetProblem(problemRoots, errors.Join(problems...))
	if len(v.paths) > 0 {
		v.log.Info("root hashes read", "signed", len(roots))
	}
}

// readAtSignal does so at each SIGHUP from now on, until ctx ends.
func (v *volumes) readAtSignal(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	go func() {
		defer signal.Stop(hup)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
				v.read()
			}
		}
	}()
}
