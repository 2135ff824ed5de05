//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/lab/attack"
	"github.com/ipe-linux/ipe/internal/lab/demo/row"
	"github.com/ipe-linux/ipe/internal/strict"
)

// technique is what code that was verified may do to become other code.
type technique struct {
	tried  string
	action string
	try    func() error
	// rule is what strict says of it; for strict.None the policy's own words are wanted.
	rule strict.Rule
}

// techniques are tried where nothing but strict stands against them.
func techniques() []technique {
	return []technique{
		{"map a file writable and executable", "map-wx", func() error { _, err := attack.MapSelf(attack.Both); return err }, strict.MapWX},
		{"make mapped code writable", "protect-wx", func() error {
			return attack.Protect(attack.Executable, attack.Step{Protection: attack.Both})
		}, strict.ProtectWX},
		{"write a file's page, then execute it", "execmod", func() error {
			return attack.Protect(attack.Writable, attack.Step{Write: true, Protection: attack.Executable})
		}, strict.ExecMod},
		{"write to /proc/self/mem", "proc-mem", func() error { return attack.Open("/proc/self/mem", unix.O_RDWR) }, strict.ProcMem},
		{"trace another process", "ptrace", trace, strict.Ptrace},
		{"fill its own pages (userfaultfd)", "userfaultfd", attack.Userfaultfd, strict.Userfaultfd},
		{"execute with an executable stack", "exec-stack", func() error { return unix.Exec(row.StackProgram, []string{"stack"}, nil) }, strict.ExecStack},
		{"make what is readable executable", "personality", attack.MakeReadableExecutable, strict.Personality},
		{"a program written to the initramfs", "initramfs", executeWritten, strict.None},
		{"a cached volume, its table exchanged", "table", mapExchanged, strict.None},
	}
}

// tryTechnique is a child's action.
func tryTechnique(args []string) error {
	for _, t := range techniques() {
		if t.action == args[0] {
			return refused(t.try())
		}
	}
	return fmt.Errorf("no technique %q", args[0])
}

// trace attaches to a process that waits.
func trace() error {
	cmd := exec.Command("/proc/self/exe", "wait")
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	runtime.LockOSThread()
	err = unix.PtraceSeize(cmd.Process.Pid)
	return errors.Join(err, in.Close(), cmd.Process.Kill())
}

// executeWritten executes what is in the initramfs only since a moment ago.
func executeWritten() error {
	const written = "/written"
	if err := os.WriteFile(written, attack.Program(attack.Exits(), false), 0o755); err != nil {
		return fmt.Errorf("write: %s", err) //nolint:errorlint // it is not the answer
	}
	return unix.Exec(written, []string{"written"}, nil)
}

// answers are what came of the techniques, in their order.
type answers []answer

// tryTechniques tries all of them.
func (a *agent) tryTechniques(ctx context.Context) (all answers, err error) {
	if err := a.exchangeTable(ctx); err != nil {
		return nil, fmt.Errorf("exchange a table: %w", err)
	}
	for _, t := range techniques() {
		got, err := attempt(ctx, nil, "technique", t.action)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.tried, err)
		}
		all = append(all, got)
	}
	return all, nil
}

// own is how the kernel's own IPE answers to the techniques, by the same policy: nil for a
// kernel that has none. It enforces nothing afterwards.
func (a *agent) own(ctx context.Context) (answers, error) {
	const dir = "/sys/kernel/security/ipe"
	if err := unix.Mount("securityfs", "/sys/kernel/security", "securityfs", 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("mount securityfs: %w", err)
	}
	if _, err := os.Stat(dir); err != nil || !a.setup.Signed {
		return nil, nil //nolint:nilerr // a kernel without IPE
	}
	message, err := os.ReadFile(file(row.Own))
	if err != nil {
		return nil, err
	}
	for _, write := range []struct {
		name string
		data []byte
	}{{"new_policy", message}, {"policies/" + row.FirewallName + "/active", []byte("1")}} {
		if err := os.WriteFile(dir+"/"+write.name, write.data, 0); err != nil {
			return nil, fmt.Errorf("the kernel's own IPE: %w", err)
		}
	}
	denied, err := attempt(ctx, nil, "anon")
	if err != nil || denied.String() != "EACCES" {
		return nil, errors.Join(err, fmt.Errorf("the kernel's own IPE answers %s to anonymous executable memory: it enforces nothing", denied))
	}
	all, err := a.tryTechniques(ctx)
	return all, errors.Join(err, os.WriteFile(dir+"/enforce", []byte("0"), 0))
}

// compare shows what three answer to the same techniques. The last iped asks as compat.
func (a *agent) compareProfiles(ctx context.Context, own answers) error {
	a.section = "verified code makes itself other code"
	tight, err := a.tryTechniques(ctx)
	if err != nil {
		return err
	}
	rules := make([]string, len(tight))
	for i, t := range techniques() {
		if rules[i], err = a.refusedBy(ctx, tight[i].pid, t.rule); err != nil {
			return err
		}
	}
	if err := a.iped.kill(); err != nil {
		return err
	}
	a.profile = api.ProfileCompat
	if _, err := a.startDaemon(ctx); err != nil {
		return err
	}
	loose, err := a.tryTechniques(ctx)
	if err != nil {
		return err
	}
	for i, t := range techniques() {
		r := row.Row{Tried: t.tried, Policy: api.ProfileStrict, Own: "has no IPE", Compat: loose[i].String(), Answered: tight[i].String(), Rule: rules[i]}
		if own != nil {
			r.Own = own[i].String()
		}
		r.Why = t.wrong(r, own != nil)
		r.OK = r.Why == ""
		if err := a.report(r); err != nil {
			return err
		}
	}
	return nil
}

// wrong says what is not as it has to be.
func (t technique) wrong(r row.Row, own bool) string {
	want := "EACCES"
	if t.rule.Kills() {
		want = "signal: SIGKILL"
	}
	switch {
	case r.Answered != want:
		return "strict has to answer " + want
	case r.Compat != ok || own && r.Own != ok:
		return "it has to go on where nothing asks for more than the kernel's own IPE"
	case r.Rule == "":
		return "the engine has no record of it"
	}
	return ""
}

// refusedBy waits for the record of what a strict rule refused a process, or the policy.
func (a *agent) refusedBy(ctx context.Context, pid uint32, rule strict.Rule) (by string, err error) {
	for end := time.Now().Add(recordTime); time.Now().Before(end) && by == "" && err == nil; time.Sleep(20 * time.Millisecond) {
		err = a.client.Events(ctx, false, func(r api.Record) error {
			switch {
			case r.PID != pid:
			case rule == strict.None && r.Action == "DENY":
				by = r.Rule()
			case rule != strict.None && r.Strict == rule.String():
				by = "strict rule " + r.Strict
			}
			return nil
		})
	}
	return by, err
}

// wait does nothing until its input ends.
func wait([]string) error {
	_, _ = os.Stdin.Read(make([]byte, 1))
	return nil
}
