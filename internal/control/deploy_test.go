package control_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control/controltest"
)

// TestDeploy plays the boots of a machine whose policies come as files, and on which
// an administrator deploys others as well.
func TestDeploy(t *testing.T) {
	m := newMachine(t)
	m.boot = text("rescue", "0.0.1")
	c := m.started()
	file := func(name, version string, want unix.Errno) {
		t.Helper()
		wantErrno(t, name+" "+version, c.Deploy("/etc/ipe/"+name+".p7b", m.signed(name, version)), want)
	}
	state := func(want string) {
		t.Helper()
		var got []string
		for _, i := range c.List() {
			mark := ""
			if i.Active {
				mark = "*"
			}
			got = append(got, fmt.Sprintf("%s%s-%s", mark, i.Name, i.Version))
		}
		s := c.Status()
		if diff := cmp.Diff(want, fmt.Sprintf("%s, %d problems", strings.Join(got, " "), len(s.Problems))); diff != "" {
			t.Errorf("(-want +got):\n%s%q", diff, s.Problems)
		}
	}
	reboot := func() {
		t.Helper()
		m.engine = controltest.NewEngine()
		c = m.started()
	}
	file("site", "1.0.0", 0)
	state("rescue-0.0.1 *site-1.0.0, 0 problems")
	activations := m.engine.Activations
	file("site", "1.0.0", 0)
	file("site", "0.9.0", 0)
	if m.engine.Activations != activations {
		t.Error("what is not newer was activated")
	}
	file("site", "1.1.0", 0)
	state("rescue-0.0.1 *site-1.1.0, 0 problems")

	_, err := c.Load(m.signed("other", "2.0.0"))
	if err := errors.Join(err, c.Activate("other")); err != nil {
		t.Fatal(err)
	}
	reboot()
	file("site", "1.1.0", 0)
	state("*other-2.0.0 rescue-0.0.1 site-1.1.0, 0 problems")
	file("site", "1.5.0", unix.EINVAL)
	state("*other-2.0.0 rescue-0.0.1 site-1.5.0, 1 problems")
	reboot()
	file("site", "1.5.0", 0)
	file("extra", "2.0.0", 0)
	state("*extra-2.0.0 other-2.0.0 rescue-0.0.1 site-1.5.0, 0 problems")

	if err := errors.Join(c.Delete("site"), c.Delete("other")); err != nil {
		t.Fatal(err)
	}
	file("site", "1.0.0", unix.ESTALE)
	stranger := controltest.NewSigner(t, "stranger").Sign(t, text("x", "1.0.0"))
	wantErrno(t, "stranger", c.Deploy("/etc/ipe/x.p7b", stranger), unix.ENOKEY)
	wantErrno(t, "unsigned", c.Deploy("/etc/ipe/y.p7b", []byte(text("x", "1.0.0"))), unix.EBADMSG)
	state("*extra-2.0.0 rescue-0.0.1, 3 problems")
	file("rescue", "3.0.0", 0)
	state("extra-2.0.0 *rescue-3.0.0, 3 problems")
	reboot()
	state("extra-2.0.0 *rescue-3.0.0, 0 problems")
}

// TestDeployUnverified: a stored policy that no longer verifies is no reason to pass
// over the file that has it.
func TestDeployUnverified(t *testing.T) {
	m := newMachine(t)
	c := m.started()
	if err := c.Deploy("f", m.signed("site", "1.0.0")); err != nil {
		t.Fatal(err)
	}
	m.engine, m.signer = controltest.NewEngine(), controltest.NewSigner(t, "new signer")
	c, _ = m.start()
	wantErrno(t, "same version", c.Deploy("f", m.signed("site", "1.0.0")), unix.ESTALE)
	wantErrno(t, "newer version", c.Deploy("f", m.signed("site", "1.0.1")), 0)
	wantSummary(t, c, "enforcing")
}
