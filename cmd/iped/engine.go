package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf"
)

// kernelIPE is there if the kernel's own IPE is among its active modules.
const kernelIPE = "/sys/kernel/security/ipe"

// errNoSecurityfs refuses the engine that is to drive the kernel's own IPE.
var errNoSecurityfs = errors.New("--engine securityfs is not in this release; use --engine bpf, which enforces beside the kernel's own IPE")

// openEngine starts, or takes over, what enforces.
func openEngine(name string, log *slog.Logger) (engine.Engine, error) {
	if name == engineSecurityfs {
		return nil, errNoSecurityfs
	}
	if _, err := os.Stat(kernelIPE); err == nil {
		log.Warn("the kernel's own IPE is active, too: if it has a policy, both must allow", "path", kernelIPE)
	}
	eng, err := bpf.Open(bpf.Options{Log: log})
	if err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	return eng, nil
}
