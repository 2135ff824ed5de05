package machine

import (
	"fmt"
	"path/filepath"

	"github.com/ipe-linux/ipe/internal/plain"
)

var generatorDirs = []string{"/etc/systemd/system-generators", "/usr/local/lib/systemd/system-generators", "/usr/lib/systemd/system-generators", "/lib/systemd/system-generators"}

// early looks whether iped starts before what it is to judge.
func (r road) early() step {
	const name, generator, order = "early start", "iped-order", "iped.service.d/10-order.conf"
	switch {
	case !r.any(generatorDirs, generator):
		return lacking(name, "the generator "+generator+" is missing: udev and what it starts run unjudged before iped", "make install, or the package, puts it there")
	case r.any([]string{"/run/systemd/generator"}, order):
		return done(name, "before udev and what loads modules; %s", r.initramfs())
	case !r.any([]string{stateDir}, stateIndex):
		return lacking(name, "nothing was deployed yet, so iped need not be early", "deploy a policy; from the next boot on it is")
	}
	return lacking(name, "this boot had iped after udev: its state is on a file system of its own, or was not there at boot",
		"reboot if a policy was deployed since; else keep /var and /etc on the root file system, see At boot in iped(8)")
}

// hooks are where somebody could have put one that brings iped into the initramfs. ipe has
// none.
var hooks = []string{"/etc/initramfs-tools/hooks", "/usr/share/initramfs-tools/hooks", "/usr/lib/dracut/modules.d"}

// initramfs says what comes before even an early start.
func (r road) initramfs() string {
	const before = "the initramfs, generators and the journal run unjudged before it"
	for _, dir := range hooks {
		for _, name := range []string{"ipe", "iped", "[0-9][0-9]ipe", "[0-9][0-9]iped"} {
			found, _ := filepath.Glob(r.at(filepath.Join(dir, name))) // the pattern is good
			if len(found) > 0 {
				return fmt.Sprintf("%s, unless %s, which is not of ipe, starts one in the initramfs", before, plain.Name(found[0]))
			}
		}
	}
	return before
}
