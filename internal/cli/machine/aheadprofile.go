package machine

import (
	"path/filepath"
	"strings"

	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/plain"
)

// flagsFile is where the installed unit has further flags from.
const flagsFile = "/etc/ipe/iped.conf"

// profile looks what the next start asks for beyond what the kernel's own IPE does.
func (r road) profile() step {
	const name = "profile"
	if r.any([]string{filepath.Join(stateDir, stateAsked)}, stateIndex) {
		return done(name, "one that is loaded counts, whatever the command line says: ipe profile show")
	}
	if !r.installed() {
		return done(name, "none is asked for: there is no unit %s", unitName)
	}
	command := r.command()
	if command.unsure {
		return done(name, "the command line of %s has variables that are not known here: ipe status tells, if iped runs", unitName)
	}
	if value := command.last(hint.Profile); value != "" {
		return done(name, "%s, as the service's command line has it", plain.Name(value))
	}
	return done(name, `compat, as the kernel's own IPE decides; IPED_FLAGS="%s" in %s asks for more`, hint.ProfileStrict, flagsFile)
}

// before looks at what iped cannot know when it starts later than that.
func (r road) before() step {
	const name, pins = "before iped", "/sys/fs/bpf/ipe"
	if r.any([]string{filepath.Dir(pins)}, filepath.Base(pins)) {
		return done(name, "it has been started since the boot: ipe status tells what was there before")
	}
	devices, _ := filepath.Glob(r.at("/sys/block/dm-*")) // the pattern is good
	if len(devices) == 0 {
		return done(name, "there is no mapped device yet whose earlier tables it could not know")
	}
	for i, d := range devices {
		devices[i] = filepath.Base(d)
	}
	return lacking(name, "not started yet, and there are mapped devices: "+strings.Join(devices, ", ")+
		"; what tables they had by then, and what was written to the initramfs, it does not know, and takes none for exchanged",
		"start iped before they are made, or make those of what is to be trusted anew after it")
}
