//go:build linux

package scenarios

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// noPolicy: without an active policy everything is allowed and nothing is recorded,
// in whatever mode. Records, if there are any, show at the first that is expected.
func noPolicy(s *Session) error {
	for m := range 4 {
		if err := s.mode(m&1 != 0, m&2 != 0); err != nil {
			return err
		}
		if err := s.everything(fmt.Sprintf("mode %d, ", m), all(len(fileActs()))); err != nil {
			return err
		}
	}
	return s.mode(true, false)
}

// put is one write to a node.
type put struct {
	what, node string
	data       []byte
}

// puts tells what came of each write.
func (s *Session) puts(list []put) error {
	for _, p := range list {
		got := result(s.write(p.node, p.data))
		s.active = s.active || p.node == "policies/site/active" && got == "ok"
		if err := s.report(p.what, got); err != nil {
			return err
		}
	}
	return nil
}

// allowing is a signed policy that allows everything but the marker.
func (s *Session) allowing(name, version string) []byte {
	return s.message(fmt.Sprintf("policy_name=%s policy_version=%s\n%s\nDEFAULT action=ALLOW\n", name, version, s.markerRule()))
}

// message signs a text; that cannot fail but for a mistake of these tests, which then
// shows as a message that nobody takes.
func (s *Session) message(text string) []byte {
	m, err := s.sign(text)
	if err != nil {
		return []byte(err.Error())
	}
	return m
}

// session is the life of a machine as the control interface tells it.
func session(s *Session) error {
	return s.puts([]put{
		{"load site 1.0.0", "new_policy", s.allowing("site", "1.0.0")},
		{"load it again", "new_policy", s.allowing("site", "1.0.0")},
		{"0 to active", "policies/site/active", []byte("0")},
		{"1 to active", "policies/site/active", []byte("1")},
		{"1 to active again", "policies/site/active", []byte("1")},
		{"load low 0.9.9", "new_policy", s.allowing("low", "0.9.9")},
		{"activate lower than active", "policies/low/active", []byte("1")},
		{"delete active", "policies/site/delete", []byte("1")},
		{"delete low", "policies/low/delete", []byte("1")},
		{"update with the same", "policies/site/update", s.allowing("site", "1.0.0")},
		{"update with another name", "policies/site/update", s.allowing("other", "2.0.0")},
		{"update", "policies/site/update", s.allowing("site", "1.0.1")},
		{"update with a lower version", "policies/site/update", s.allowing("site", "1.0.0")},
		{"unsigned text", "new_policy", []byte("policy_name=x policy_version=1.0.0\nDEFAULT action=ALLOW\n")},
	})
}

// nodes are the errors of each node, and the spellings of booleans.
func nodes(s *Session) error {
	var list []put
	words := []string{
		"0", "y", "n", "Y", "N", "t", "f", "T", "F", "on", "off", "ON", "OFF", "oN", "of", "1garbage", "0x", "10", "yes\n", "",
		" 1", "\n", "o", "ox", "2", "-1", "enable", "\x001",
	}
	for _, node := range []string{"enforce", "success_audit"} {
		for _, w := range words {
			list = append(list, put{fmt.Sprintf("%q to %s", w, node), node, []byte(w)})
		}
		list = append(list, put{"1 to " + node, node, []byte("1")})
	}
	list = append(list,
		put{"load idle", "new_policy", s.allowing("idle", "1.0.0")},
		put{"update idle, not active", "policies/idle/update", s.allowing("idle", "1.0.1")},
	)
	for _, node := range []string{"active", "delete"} {
		for _, w := range []string{"0", "n", "x", "", "2", "off"} {
			list = append(list, put{fmt.Sprintf("%q to %s of idle", w, node), "policies/idle/" + node, []byte(w)})
		}
	}
	for _, node := range []string{"name", "version", "policy", "pkcs7"} {
		list = append(list, put{"write " + node, "policies/idle/" + node, []byte("1")})
	}
	if err := s.puts(list); err != nil {
		return err
	}
	if err := s.reads("idle"); err != nil {
		return err
	}
	return s.puts([]put{
		{"delete idle", "policies/idle/delete", []byte("yes")},
		{"delete idle again", "policies/idle/delete", []byte("1")},
		{"load idle anew", "new_policy", s.allowing("idle", "1.0.1")},
		{"delete it", "policies/idle/delete", []byte("1")},
		{"load a lower version than was there", "new_policy", s.allowing("idle", "0.0.1")},
	})
}

// reads shows what the nodes of a policy hold.
func (s *Session) reads(name string) error {
	for _, node := range []string{"enforce", "success_audit", "new_policy"} {
		if err := s.content(node); err != nil {
			return err
		}
	}
	for _, node := range []string{"name", "version", "policy", "pkcs7", "active", "update", "delete", "absent"} {
		if err := s.content("policies/" + name + "/" + node); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) content(node string) error {
	text, err := s.read(node)
	got := result(err)
	switch {
	case err == nil && strings.HasSuffix(node, "/pkcs7"):
		got = fmt.Sprintf("%d bytes", len(text))
	case err == nil:
		got = fmt.Sprintf("%q", text)
	}
	return s.report("read "+node, got)
}

// messages are what can be wrong with a policy, from its envelope inwards.
func messages(s *Session) error {
	good := s.allowing("m", "1.0.0")
	header := "policy_name=m policy_version=1.0.0\n"
	list := []put{
		{"empty", "new_policy", []byte{}},
		{"cut short", "new_policy", good[:len(good)-1]},
		{"longer than it says", "new_policy", append(bytes.Clone(good), 0)},
		{"tampered with", "new_policy", bytes.Replace(good, []byte("action=ALLOW"), []byte("action=ALLOY"), 1)},
		{"65535 zeros", "new_policy", make([]byte, 65535)},
		{"65536 zeros", "new_policy", make([]byte, 65536)},
		{"DER of nothing", "new_policy", []byte{0x30, 0x00}},
	}
	for _, text := range []struct{ what, text string }{
		{"no content", ""},
		{"no defaults", header},
		{"no header", "DEFAULT action=ALLOW\n"},
		{"text behind NUL", header + "DEFAULT action=ALLOW\n\x00garbage"},
		{"NUL in the header", "policy_name=m\x00 policy_version=1.0.0\nDEFAULT action=ALLOW\n"},
		{"CRLF", strings.ReplaceAll(header+"DEFAULT action=ALLOW\n", "\n", "\r\n")},
		{"version of letters", "policy_name=m policy_version=1.x.0\nDEFAULT action=ALLOW\n"},
		{"version too large", "policy_name=m policy_version=1.0.65536\nDEFAULT action=ALLOW\n"},
		{"version of two parts", "policy_name=m policy_version=1.0\nDEFAULT action=ALLOW\n"},
		{"odd digest", header + "DEFAULT action=ALLOW\nop=EXECUTE fsverity_digest=sha256:abc action=DENY\n"},
		{"unknown operation", header + "DEFAULT action=ALLOW\nop=READ action=DENY\n"},
		{"second default", header + "DEFAULT action=ALLOW\nDEFAULT action=ALLOW\n"},
		{"slash in the name", "policy_name=a/b policy_version=1.0.0\nDEFAULT action=ALLOW\n"},
		{"name of a dot", "policy_name=. policy_version=1.0.0\nDEFAULT action=ALLOW\n"},
		{"name of two dots", "policy_name=.. policy_version=1.0.0\nDEFAULT action=ALLOW\n"},
		{"name of 256 bytes", "policy_name=" + strings.Repeat("n", 256) + " policy_version=1.0.0\nDEFAULT action=ALLOW\n"},
		{"name of 255 bytes", "policy_name=" + strings.Repeat("n", 255) + " policy_version=1.0.0\nDEFAULT action=ALLOW\n"},
		{"name with quotes", "policy_name=\"q\" policy_version=1.0.0\nDEFAULT action=ALLOW\n"},
		{"name of high bytes", "policy_name=\xff\xfe policy_version=1.0.0\nDEFAULT action=ALLOW\n"},
	} {
		list = append(list, put{text.what, "new_policy", s.message(text.text)})
	}
	list = append(list,
		put{"delete the one of CRLF", "policies/m/delete", []byte("1")},
		put{"delete that of 255 bytes", "policies/" + strings.Repeat("n", 255) + "/delete", []byte("1")},
		put{"delete that with quotes", "policies/\"q\"/delete", []byte("1")},
		put{"delete that of high bytes", "policies/\xff\xfe/delete", []byte("1")},
	)
	if err := s.puts(list); err != nil {
		return err
	}
	return s.strangers()
}

// strangers are messages that were signed by others, or otherwise.
func (s *Session) strangers() error {
	for _, name := range []string{"stranger", "detached", "attributes", "smime", "two-signers"} {
		data, err := os.ReadFile("/images/" + name + ".p7b")
		if err != nil {
			return err
		}
		if err := s.puts([]put{{name, "new_policy", data}, {"delete " + name, "policies/" + name + "/delete", []byte("1")}}); err != nil {
			return err
		}
	}
	return nil
}

// descriptors: the rights are those at open, and what is open refers to the policy.
func descriptors(s *Session) error {
	open := func(node string, flags int) int {
		fd, err := unix.Open(filepath.Join(s.cfg.Tree, node), flags|unix.O_CLOEXEC, 0)
		if err != nil {
			return -int(err.(unix.Errno)) // shows as EBADF with each use
		}
		return fd
	}
	write := func(fd int, text string) func() error {
		return func() error { return writeOnce(fd, text) }
	}
	if err := s.puts([]put{{"load open", "new_policy", s.allowing("open", "1.0.0")}}); err != nil {
		return err
	}
	enforce, remove := open("enforce", unix.O_WRONLY), open("policies/open/delete", unix.O_WRONLY)
	version, active := open("policies/open/version", unix.O_RDONLY), open("policies/open/active", unix.O_RDWR)
	update := open("policies/open/update", unix.O_WRONLY)
	if err := dropMacAdmin(); err != nil {
		return err
	}
	plain := open("enforce", unix.O_WRONLY)
	steps := []struct {
		what string
		try  func() error
	}{
		{"open with the right, write without", write(enforce, "0")},
		{"open and write without", write(plain, "1")},
		{"nonsense without", write(plain, "nonsense")},
	}
	for _, node := range []string{"new_policy", "success_audit", "policies/open/active", "policies/open/update", "policies/open/delete", "policies/open/name"} {
		steps = append(steps, struct {
			what string
			try  func() error
		}{node + " without the right", func() error { return s.write(node, []byte("nonsense")) }})
	}
	for _, st := range steps {
		if err := s.observe(st.what, st.try); err != nil {
			return err
		}
	}
	if err := raiseMacAdmin(); err != nil {
		return err
	}
	steps = []struct {
		what string
		try  func() error
	}{
		{"with the right again", write(plain, "1")},
		{"write from nowhere", func() error { return call(unix.SYS_WRITE, uintptr(enforce), 8, 1) }},
		{"message from nowhere", func() error { return call(unix.SYS_WRITE, uintptr(update), 8, 100) }},
		{"seek", func() error { _, err := unix.Seek(version, 0, 0); return err }},
		{"set enforce back", func() error { return s.write("enforce", []byte("1")) }},
		{"read in parts", func() error { return readParts(version, "1.0", ".0") }},
		{"read at an offset", func() error { return readAt(version, 2, "0.0") }},
		{"delete it", write(remove, "1")},
		{"read a deleted one", func() error { _, err := unix.Read(version, make([]byte, 8)); return err }},
		{"read active of a deleted one", func() error { _, err := unix.Read(active, make([]byte, 8)); return err }},
		{"activate a deleted one", write(active, "1")},
		{"0 to active of a deleted one", write(active, "0")},
		{"update a deleted one", write(update, "nonsense")},
		{"delete a deleted one", write(remove, "1")},
	}
	for _, st := range steps {
		if err := s.observe(st.what, st.try); err != nil {
			return err
		}
	}
	return nil
}

func readParts(fd int, parts ...string) error {
	buf := make([]byte, len(parts[0]))
	for _, want := range parts {
		n, err := unix.Read(fd, buf)
		if err != nil {
			return err
		}
		if string(buf[:n]) != want {
			return fmt.Errorf("read %q", buf[:n])
		}
	}
	return nil
}

func readAt(fd int, at int64, want string) error {
	buf := make([]byte, 8)
	n, err := unix.Pread(fd, buf, at)
	if err == nil && string(buf[:n]) != want {
		return fmt.Errorf("read %q", buf[:n])
	}
	return err
}

func dropMacAdmin() error {
	return setMacAdmin(func(d *unix.CapUserData, bit uint32) { d.Effective &^= bit })
}
func raiseMacAdmin() error {
	return setMacAdmin(func(d *unix.CapUserData, bit uint32) { d.Effective |= bit })
}

// setMacAdmin changes the thread's capability to use the tree.
func setMacAdmin(change func(*unix.CapUserData, uint32)) error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	change(&data[unix.CAP_MAC_ADMIN/32], 1<<(unix.CAP_MAC_ADMIN%32))
	if err := unix.Capset(&hdr, &data[0]); err != nil {
		return fmt.Errorf("change capabilities: %w", err)
	}
	return nil
}
