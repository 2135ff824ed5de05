package daemon

import (
	"errors"
	"log/slog"

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
	reader roothash.Reader
	signer engine.RootSigner // nil if the engine is none, and there are no paths
	c      *control.Control
	log    *slog.Logger
}

func newVolumes(paths []string, by control.Verifier, eng engine.Engine, c *control.Control, log *slog.Logger) (*volumes, error) {
	signer, takes := eng.(engine.RootSigner)
	verifier, asks := by.(detachedVerifier)
	switch {
	case takes && asks:
		return &volumes{reader: roothash.Reader{Paths: paths, Verify: verifier.verifyDetached}, signer: signer, c: c, log: log}, nil
	case len(paths) > 0:
		return nil, errNoRootSigner
	}
	return &volumes{}, nil
}

// read makes the engine trust what is signed now, and nothing that was before, unless a
// whole path cannot be read: that keeps what it had. What is wrong is a problem, too.
func (v *volumes) read() error {
	if v.signer == nil {
		return nil
	}
	roots, problems := v.reader.Read()
	err := oneLine(append(problems, v.signer.SetSignedRoots(roots)))
	v.c.SetProblem(problemRoots, err)
	if len(v.reader.Paths) > 0 {
		v.log.Info("root hashes read", "signed", len(roots))
	}
	return err
}
