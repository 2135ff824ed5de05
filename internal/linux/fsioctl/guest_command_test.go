//go:build guest

package fsioctl_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/cli"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/lab/await"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// The command is tried here, on the file systems that this package makes; in the
// package of the command its tests would have to boot guests of their own.

// command runs a command line.
func command(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = cli.Main(args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// done wants success without complaints.
func done(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := command(args...)
	if code != ui.ExitOK || stderr != "" {
		t.Fatalf("ipe %v: %d\n%s%s", args, code, stdout, stderr)
	}
	return stdout
}

// fails wants exit status 1 and each text among the errors.
func fails(t *testing.T, args []string, want ...string) (stdout string) {
	t.Helper()
	code, stdout, stderr := command(args...)
	if code != ui.ExitRefused {
		t.Fatalf("ipe %v: %d\n%s%s", args, code, stdout, stderr)
	}
	for _, w := range want {
		if !strings.Contains(stderr, w) {
			t.Errorf("ipe %v: without %q:\n%s", args, w, stderr)
		}
	}
	return stdout
}

func put(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), mode)); err != nil {
		t.Fatal(err)
	}
}

func app(t *testing.T) {
	t.Helper()
	t.Chdir(ext4(t, 4096, 64, "verity"))
	put(t, "app/bin/run", "#!/bin/sh\n", 0o755)
	put(t, "app/bin/tool", "#!/bin/sh\nexec run\n", 0o755)
	put(t, "app/lib/x.so", "\x7fELF and more", 0o644)
	put(t, "app/notes", "not a program", 0o644)
	if err := errors.Join(os.Symlink("../notes", "app/bin/link"), os.Link("app/bin/tool", "app/bin/also")); err != nil {
		t.Fatal(err)
	}
}

// TestCommandEnableTree: a dry run, the real thing, and once more, with three programs of one
// opinion about the digests.
func TestCommandEnableTree(t *testing.T) {
	app(t)
	enable := []string{"fsverity", "enable", "--executable", "--salt=c0ffee", "--hash-alg=sha512", "app"}
	dry := done(t, append(enable, "--dry-run")...)
	if !strings.HasSuffix(dry, "\n4 files can be enabled, 0 are already\n") {
		t.Errorf("dry run:\n%s", dry)
	}
	if out := fails(t, []string{"fsverity", "measure", "app/bin/run"}, "app/bin/run: measure: fs-verity is not enabled", "hint: enable it with"); out != "" {
		t.Errorf("measured after a dry run: %s", out)
	}
	did := done(t, enable...)
	// One file has two names.
	if !strings.HasSuffix(did, "\n3 files enabled, 1 already\n") {
		t.Errorf("enabled:\n%s", did)
	}
	if again := done(t, enable...); !strings.HasSuffix(again, "\n0 files enabled, 4 already\n") {
		t.Errorf("again:\n%s", again)
	}
	files := []string{"app/bin/also", "app/bin/run", "app/bin/tool", "app/lib/x.so"}
	want := run(t, "fsverity", append([]string{"measure"}, files...)...)
	if got := done(t, "fsverity", "measure", "--executable", "app"); got != want {
		t.Errorf("ipe measures\n%sfsverity\n%s", got, want)
	}
	if got := done(t, append([]string{"fsverity", "digest", "--salt=c0ffee", "--hash-alg=sha512"}, files...)...); got != want {
		t.Errorf("ipe computes\n%sfsverity measures\n%s", got, want)
	}
	for line := range strings.Lines(want) {
		sum, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.Contains(dry, file+": can be enabled\n") || !strings.Contains(did, file+": enabled") || !strings.Contains(did, sum) {
			t.Errorf("%s %s is not in\n%s%s", file, sum, dry, did)
		}
	}
	fails(t, []string{"fsverity", "measure", "app"}, "app/notes: measure: fs-verity is not enabled")
}

// TestCommandEnableLinks: a file with many names takes long, so that several would be at
// it at once; the kernel refuses all but the first.
func TestCommandEnableLinks(t *testing.T) {
	t.Chdir(ext4(t, 4096, 64, "verity"))
	put(t, "app/0", "", 0o644)
	if err := os.Truncate("app/0", 64<<20); err != nil {
		t.Fatal(err)
	}
	for i := range 7 {
		if err := os.Link("app/0", fmt.Sprintf("app/%d", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if out := done(t, "fsverity", "enable", "app"); !strings.HasSuffix(out, "\n1 files enabled, 7 already\n") {
		t.Error(out)
	}
}

// TestCommandEnableNamesWhatIsNot: the others have their turn.
func TestCommandEnableNamesWhatIsNot(t *testing.T) {
	app(t)
	run(t, "fsverity", "enable", "app/lib/x.so", "--salt=aa")
	w, err := os.OpenFile("app/bin/run", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := fails(t, []string{"fsverity", "enable", "app", "/proc/version", "/dev/null"},
		"error: app/bin/run: enable fs-verity: the file is in use: a process has it open for writing: text file busy", "hint: fuser",
		`error: app/lib/x.so: fs-verity is enabled already, with other parameters: sha256, block size 4096, salt "aa"`, "hint: fs-verity cannot be changed",
		"error: /proc/version: enable fs-verity: no fs-verity here: the file system is proc",
		"error: /dev/null: not a regular file",
		"error: 4 of 7 files are not enabled as asked")
	if !strings.HasSuffix(out, "2 files enabled, 1 already\n") {
		t.Errorf("%s", out)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out = fails(t, []string{"fsverity", "enable", "--json", "app"}, "app/lib/x.so")
	for _, want := range []string{
		`{"file":"app/bin/run","status":"enabled","digest":"sha256:`,
		`{"file":"app/bin/tool","status":"already","digest":"sha256:`,
		`{"file":"app/lib/x.so","status":"failed","size":13,"error":"app/lib/x.so: fs-verity is enabled already, with other parameters: `,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("without %s:\n%s", want, out)
		}
	}
}

// TestCommandEnableSigned: each file with its own signature, and what others are called.
func TestCommandEnableSigned(t *testing.T) {
	app(t)
	ours, other := newSigner(t, "command"), newSigner(t, "another")
	ours.trust(t)
	sign := func(s signer, file, as string) {
		t.Helper()
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		put(t, as, string(s.sign(t, content, fsverity.Params{})), 0o644)
	}
	sign(ours, "app/lib/x.so", "app/lib/x.so.p7s")
	sign(other, "app/bin/run", "app/bin/run.p7s")
	sign(ours, "app/bin/run", "app/bin/tool.p7s")
	out := fails(t, []string{"fsverity", "enable", "--signatures", "app", "app"},
		"error: app/bin/run: enable fs-verity: the signer is not trusted", "hint: as root: keyctl padd asymmetric '' %keyring:.fs-verity",
		"error: app/bin/tool: enable fs-verity: the signature is not good: it is not of this content",
		"error: app/bin/also: open app/bin/also.p7s: no such file or directory", "hint: make each with ipe fsverity sign",
		"error: app/notes: open app/notes.p7s", "error: 4 of 5 files are not enabled as asked")
	if !strings.HasPrefix(out, "app/lib/x.so: enabled, sha256:") {
		t.Error(out)
	}
	run(t, "fsverity", "enable", "app/notes")
	sign(ours, "app/notes", "notes.p7s")
	sign(other, "app/lib/x.so", "x.p7s")
	fails(t, []string{"fsverity", "enable", "--signature", "notes.p7s", "app/notes"}, "app/notes: fs-verity is enabled already, without a signature")
	fails(t, []string{"fsverity", "enable", "--signature", "x.p7s", "app/lib/x.so"}, "app/lib/x.so: fs-verity is enabled already, with another signature")
	if out := done(t, "fsverity", "enable", "--signature", "app/lib/x.so.p7s", "app/lib/x.so"); !strings.HasPrefix(out, "app/lib/x.so: enabled already, ") {
		t.Error(out)
	}
	if out := done(t, "fsverity", "enable", "app/lib/x.so"); !strings.HasPrefix(out, "app/lib/x.so: enabled already, ") {
		t.Error(out)
	}
}

// many is how many files a tree has that takes some time.
const many = 400

// TestCommandEnableGoesOn: killed in the middle, it goes on where it was.
func TestCommandEnableGoesOn(t *testing.T) {
	if dir := os.Getenv("ENABLE_TREE"); dir != "" {
		os.Exit(cli.Main([]string{"fsverity", "enable", dir}, os.Stdin, os.Stdout, os.Stderr))
	}
	t.Chdir(ext4(t, 4096, 64, "verity"))
	for i := range many {
		put(t, fmt.Sprintf("many/%d/%d", i%7, i), strings.Repeat(fmt.Sprint(i), 5000), 0o644)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestCommandEnableGoesOn$")
	cmd.Env = append(os.Environ(), "ENABLE_TREE=many")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !await.Until(func() bool { code, _, _ := command("fsverity", "measure", "many/1/15"); return code == 0 }) {
		t.Fatal("it never came to the file")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	out := done(t, "fsverity", "enable", "many")
	before := strings.Count(out, "enabled already, ")
	t.Logf("%d files were enabled before", before)
	if before == 0 || before == many || !strings.HasSuffix(out, fmt.Sprintf("\n%d files enabled, %d already\n", many-before, before)) {
		t.Errorf("%d before\n%s", before, out[max(0, len(out)-200):])
	}
	if got, want := done(t, "fsverity", "measure", "many"), done(t, "fsverity", "digest", "many"); got != want {
		t.Error("measured and computed digests differ")
	}
}
