//go:build guest

package soak

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/lab/await"
)

// unit runs the command that is in a file of the volume's /run.
const unit = `[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
RootDirectory=` + at + `
MemoryDenyWriteExecute=yes
Environment=HOME=/run LANG=C.UTF-8
StandardOutput=truncate:/run/unit.out
StandardError=inherit
ExecStart=/bin/sh /run/command
`

// TestUnits: what becomes of programs in a unit with MemoryDenyWriteExecute, where the
// profile has all that it would give them outside.
func TestUnits(t *testing.T) {
	root, err := digest.Parse(os.Getenv("ROOT_HASH"))
	check(t, err)
	openVolume(t, root)
	check(t, os.MkdirAll("/run/systemd/system", 0o755))
	check(t, os.WriteFile("/run/systemd/system/programs.service", []byte(unit), 0o644))
	check(t, await.NoError(func() error { return exec.Command("systemctl", "daemon-reload").Run() }))
	m := &machine{t: t, root: root.String(), run: runUnit}
	m.start()
	defer m.end()
	m.ask(engine.Strict())
	for _, p := range Programs {
		if p.Unit == "" {
			continue
		}
		m.except(p.lines(m.root, false))
		t.Run(p.Name, func(t *testing.T) { m.try(t, p, p.Unit) })
	}
}

// runUnit has systemd run a command.
func runUnit(t *testing.T, p Program) (string, error) {
	t.Helper()
	check(t, os.WriteFile(at+"/run/command", []byte(p.Command+"\n"), 0o644))
	_, runErr := exec.Command("systemctl", "start", "programs.service").CombinedOutput()
	out, err := os.ReadFile("/run/unit.out")
	return string(out), errors.Join(runErr, err)
}
