//go:build linux

// Command probe runs the scenarios of package scenarios in a test guest, and
// nowhere else: they attach programs that deny.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/ipe-linux/ipe/internal/lab/scenarios"
)

func main() {
	work := run
	if len(os.Args) > 1 && os.Args[1] == scenarios.LoadArgument {
		work = scenarios.Load
	}
	if err := work(); err != nil {
		fmt.Fprintln(os.Stderr, "probe: error:", err)
		os.Exit(1)
	}
}

func run() error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(mounts), "rootfs / rootfs ") && !strings.HasPrefix(string(mounts), "none / rootfs ") {
		return fmt.Errorf("this is no test guest: its root is not the initramfs")
	}
	text, err := os.ReadFile(scenarios.SetupPath)
	if err != nil {
		return err
	}
	var cfg scenarios.Config
	if err := json.Unmarshal(text, &cfg); err != nil {
		return fmt.Errorf("read setup: %w", err)
	}
	return scenarios.Run(cfg)
}
