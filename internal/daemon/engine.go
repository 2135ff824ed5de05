package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/profiles"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf"
	"github.com/ipe-linux/ipe/internal/engine/securityfs"
	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/internal/profile"
)

// errProfile refuses what only programs of ours can ask.
var errProfile = errors.New("--profile strict, --rule: the kernel's own IPE asks what it asks: start iped with --engine bpf, or without --profile")

// errBootPolicy refuses an unsigned policy where the kernel is to verify.
var errBootPolicy = errors.New("--boot-policy: the kernel's own IPE takes no unsigned policy but the one compiled into it (CONFIG_IPE_BOOT_POLICY): " +
	"sign it and deploy it, or use --engine bpf")

// opened is an engine, and why it is this one.
type opened struct {
	engine.Engine
	reason string
}

// openEngine starts, or takes over, what enforces.
func openEngine(cfg config, whom *trusted, log *slog.Logger) (opened, error) {
	abi.MountSecurityfs()
	choice := choose(cfg, whom)
	log.Info("engine", "engine", choice.Engine, "reason", choice.Reason)
	eng, err := start(choice.Engine, cfg, log)
	if err != nil {
		return opened{}, fmt.Errorf("start engine: %w", err)
	}
	return opened{eng, choice.Reason}, nil
}

func choose(cfg config, whom *trusted) api.Choice {
	if cfg.engine != engineAuto {
		return api.Choice{Engine: cfg.engine, Reason: "asked for with --engine"}
	}
	return api.Choose(&abi.System{}, api.Wish{Certificates: whom.now().Certificates(), BootPolicy: cfg.bootPolicy != "", RootHashes: len(cfg.rootHashes) > 0, Profile: cfg.flags().Asked().Asks() || cfg.profiles.Any()})
}

func start(name string, cfg config, log *slog.Logger) (engine.Engine, error) {
	if name == api.EngineSecurityfs {
		if cfg.bootPolicy != "" {
			return nil, errBootPolicy
		}
		if cfg.flags().Asked().Asks() {
			return nil, errProfile
		}
		if abi.BPFAttached() {
			log.Warn("the BPF engine is attached, too: if it has a policy, both must allow")
		}
		return securityfs.Open(securityfs.Options{Log: log})
	}
	warnOfNeighbour(log)
	return bpf.Open(bpf.Options{Log: log, KeepCaches: cfg.keepCaches, Profile: cfg.profiles.Asked()})
}

// flags are what the command line asks for beyond what the kernel's own IPE asks.
func (c *config) flags() profiles.Flags {
	f := profiles.Flags{Rules: c.rules}
	if c.profile == api.ProfileStrict {
		f.Base = profile.Strict
	}
	return f
}

// warnOfNeighbour says that the kernel's own IPE is at work beside another engine.
func warnOfNeighbour(log *slog.Logger) {
	if _, err := os.Stat(securityfs.DefaultDir); err == nil {
		log.Warn("the kernel's own IPE is active, too: if it has a policy, both must allow")
	}
}

// enforces reports whether an iped before this one left the kernel with something that
// can enforce.
func enforces() bool {
	active, err := filepath.Glob(securityfs.DefaultDir + "/policies/*/active")
	return abi.BPFAttached() || err == nil && slices.ContainsFunc(active, func(file string) bool {
		text, err := os.ReadFile(file)
		return err == nil && string(text) == "1"
	})
}
