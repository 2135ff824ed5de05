package preflight

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// program is a file to look at although nothing may have it in memory now.
type program struct {
	// places are where it may be; the first counts that is there.
	places []string
	role   string
	// machine, if it is not empty, is what a library must be made for.
	machine machine
}

func at(path, role string) program { return program{places: []string{path}, role: role} }

// within is a program that is in the first of the directories that has it.
func within(dirs []string, name, role string) program {
	return program{places: places(name, dirs), role: role}
}

// Where programs are looked for, whether or not they run.
func binDirs() []string {
	return []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
}

// loginNames are what lets somebody in, at a console or from elsewhere, or leads on
// from there.
func loginNames() []string {
	return []string{"agetty", "getty", "login", "sulogin", "sshd", "systemctl"}
}

// programs lists what the machine could not be repaired without. What is not there is
// left out later.
func programs() []program {
	all := []program{at("/sbin/init", roleInit), at("/bin/sh", roleShell)}
	if self, err := os.Executable(); err == nil {
		all = append(all, at(self, roleIped), at(filepath.Join(filepath.Dir(self), "ipe"), roleIpe))
	}
	all = append(all, within(binDirs(), "ipe", roleIpe))
	for _, name := range loginNames() {
		all = append(all, within(binDirs(), name, roleLogin))
	}
	for _, name := range []string{"sshd-session", "sshd-auth"} {
		all = append(all, within([]string{"/usr/lib/openssh", "/usr/libexec/openssh", "/usr/lib/ssh"}, name, roleLogin))
	}
	if f, err := os.Open("/etc/passwd"); err == nil {
		defer f.Close()
		for _, shell := range rootShells(f) {
			all = append(all, at(shell, roleShell))
		}
	}
	return all
}

// maxShells bounds the accounts with root's number that are looked at.
const maxShells = 16

// rootShells reads the shells of the accounts with number 0 from a passwd(5).
func rootShells(r io.Reader) (shells []string) {
	const uid, shell, fields = 2, 6, 7
	for sc := bufio.NewScanner(r); sc.Scan() && len(shells) < maxShells; {
		f := strings.Split(sc.Text(), ":")
		if len(f) == fields && f[uid] == "0" && strings.HasPrefix(f[shell], "/") {
			shells = append(shells, f[shell])
		}
	}
	return shells
}
