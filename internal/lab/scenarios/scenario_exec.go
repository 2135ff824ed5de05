//go:build linux

package scenarios

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// modes tries everything by a few policies in all four modes.
func modes(s *Session) error {
	for _, p := range []struct {
		name       string
		statements []string
	}{
		{"deny all", []string{"DEFAULT action=DENY"}},
		{"allow all", []string{"DEFAULT action=ALLOW"}},
		{"by rule", []string{"DEFAULT action=ALLOW", "op=EXECUTE boot_verified=FALSE action=DENY"}},
		{"by operation", []string{"DEFAULT action=ALLOW", "DEFAULT op=EXECUTE action=DENY", "DEFAULT op=KMODULE action=DENY"}},
	} {
		for m := range 4 {
			if err := s.mode(m&1 != 0, m&2 != 0); err != nil {
				return err
			}
			if err := s.switchTo(fmt.Sprintf("%s, mode %d", p.name, m), p.statements...); err != nil {
				return err
			}
			if err := s.everything(fmt.Sprintf("%s, mode %d, ", p.name, m), all(len(fileActs()))); err != nil {
				return err
			}
		}
	}
	return nil
}

// switchTo makes statements decide and tells what is recorded about that.
func (s *Session) switchTo(what string, statements ...string) error {
	if err := s.decideBy(statements...); err != nil {
		return err
	}
	return s.report(what, "switched")
}

// Programs that are executed by child processes.
const (
	dynamicProgram = "/volume/true"
	staticProgram  = "/tmp/tiny"
	scriptOfTrue   = "/tmp/script"
	scriptOfScript = "/tmp/script of script"
	unknownFormat  = "/tmp/unknown"
	noMode         = "/tmp/no mode"
)

// tiny is a static program of two instructions: exit(0).
func tiny() []byte {
	code := []byte{0x31, 0xff, 0xb8, 0x3c, 0, 0, 0, 0x0f, 0x05}
	const base, head = 0x400000, 64 + 56
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...)
	le := binary.LittleEndian
	b = le.AppendUint16(le.AppendUint16(b, 2), 62)    // EXEC, x86-64
	b = le.AppendUint32(b, 1)                         // version
	b = le.AppendUint64(b, base+head)                 // entry
	b = le.AppendUint64(le.AppendUint64(b, 64), 0)    // program headers, no sections
	b = le.AppendUint32(b, 0)                         // flags
	for _, n := range []uint16{64, 56, 1, 64, 0, 0} { // sizes and counts
		b = le.AppendUint16(b, n)
	}
	b = le.AppendUint32(le.AppendUint32(b, 1), 5) // LOAD, read and execute
	size := uint64(head + len(code))
	for _, n := range []uint64{0, base, base, size, size, page} {
		b = le.AppendUint64(b, n)
	}
	return append(b, code...)
}

// programs executes what has interpreters and loaders: each is judged for itself.
func programs(s *Session) error {
	for name, text := range map[string]string{
		staticProgram: string(tiny()), scriptOfTrue: "#!" + dynamicProgram + "\n", scriptOfScript: "#!" + scriptOfTrue + "\n",
		unknownFormat: "neither a program nor a script\n", noMode: script,
	} {
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(noMode, 0o644); err != nil {
		return err
	}
	root := "dmverity_roothash=sha256:" + s.cfg.Roots["volume"]
	for _, p := range []struct {
		name       string
		statements []string
	}{
		{"all allowed", []string{"DEFAULT action=ALLOW"}},
		{"program denied", []string{"DEFAULT action=ALLOW", "op=EXECUTE " + root + " action=DENY"}},
		{"loader denied", []string{"DEFAULT action=ALLOW", "op=EXECUTE boot_verified=TRUE action=DENY"}},
		{"script denied", []string{"DEFAULT action=DENY", "op=EXECUTE " + root + " action=ALLOW", "op=EXECUTE boot_verified=TRUE action=ALLOW"}},
		{"all denied", []string{"DEFAULT action=DENY"}},
	} {
		for _, enforce := range []bool{true, false} {
			if err := s.mode(enforce, true); err != nil {
				return err
			}
			name := p.name
			if !enforce {
				name += ", permissive"
			}
			if err := s.switchTo(name, p.statements...); err != nil {
				return err
			}
			if err := s.spawnAll(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Session) spawnAll(policy string) error {
	for _, c := range [][]string{
		{dynamicProgram}, {dynamicProgram, scriptOfTrue}, {staticProgram}, {scriptOfTrue}, {scriptOfScript}, {unknownFormat}, {noMode},
		{"/volume/absent"}, {"/volume"}, {"/lib64/ld-linux-x86-64.so.2", dynamicProgram}, {"/lib64/ld-linux-x86-64.so.2", staticProgram},
	} {
		if err := s.report(fmt.Sprintf("%s, %q", policy, c), spawn(c)); err != nil {
			return err
		}
	}
	return nil
}

// spawn executes a command and tells how it ended: the errno if it never began.
func spawn(command []string) string {
	cmd := exec.Cmd{Path: command[0], Args: command, Env: []string{}, SysProcAttr: &syscall.SysProcAttr{}}
	err := cmd.Run()
	if cmd.ProcessState != nil {
		return cmd.ProcessState.String()
	}
	return result(err)
}
