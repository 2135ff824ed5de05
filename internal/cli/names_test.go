package cli_test

import (
	"bufio"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ipe-linux/ipe/internal/cli"
	"github.com/ipe-linux/ipe/internal/cli/clitest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/control/controltest"
)

// forged is how no line of ipe begins.
const forged = "FORGED"

// nasty are names that would command a terminal or begin a line, if they came through.
func nasty() []string {
	names := []string{"x\n" + forged + " \x1b]0;title\x07\r\t", "\u202e\u009b\x9b31m\xff", `\n"quoted"`, " "}
	b := make([]byte, 40)
	for i, rng := 0, rand.New(rand.NewPCG(1, 2)); i < len(b); i++ {
		if b[i] = byte(1 + rng.IntN(255)); b[i] == '/' {
			b[i] = '\n'
		}
	}
	names = append(names, string(b))
	return names
}

// leaves are the commands that do something. The two of cobra's own, help and
// completion, take no names; doctor and version none at all.
func leaves(t *testing.T) (all []*cobra.Command) {
	t.Helper()
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if !c.HasSubCommands() && c.Name() != "doctor" && c.Name() != "version" && c.Parent().Name() != "completion" && c.Name() != "help" {
			all = append(all, c)
		}
	}
	walk(cli.Root())
	if len(all) < 30 {
		t.Fatalf("only %d commands", len(all))
	}
	return all
}

func path(c *cobra.Command) []string { return strings.Fields(c.CommandPath())[1:] }

// stringFlags are those whose values may be names.
func stringFlags(c *cobra.Command) (names []string) {
	c.InheritedFlags() // which merges them
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Value.Type() == "string" || f.Value.Type() == "stringArray" {
			names = append(names, f.Name)
		}
	})
	return names
}

// lines returns command lines of a command about a name: that of a file, of a
// directory, of what is not there; and as the value of each flag.
func lines(c *cobra.Command, name, key, cert string) (all [][]string) {
	base := path(c)
	if c.Flags().Lookup("key") != nil {
		base = append(base, "--key", key)
	}
	if c.Flags().Lookup("cert") != nil {
		base = append(base, "--cert", cert)
	}
	add := func(args ...string) { all = append(all, append(slices.Clone(base), args...)) }
	for n := range 5 {
		add(slices.Repeat([]string{name}, n)...)
	}
	add("dir")
	add("./" + name)
	add("missing " + name)
	for _, flag := range stringFlags(c) {
		add("--"+flag+"="+name, name)
		add("--"+flag+"="+name, name, name)
		add("--"+flag+"="+name, "--"+name)
	}
	return all
}

// stage makes the files that command lines are about; they may have been written to.
func stage(t *testing.T, name string) {
	t.Helper()
	for _, file := range []string{name, filepath.Join("dir", name)} {
		_ = os.Remove(file)
		if err := os.WriteFile(file, []byte(clitest.Policy), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// clean says what of an output could command a terminal, or looks like a line of its
// own.
func clean(out string) string {
	if !utf8.ValidString(out) {
		return "not UTF-8"
	}
	for _, r := range out {
		if r != '\n' && !strconv.IsPrint(r) {
			return "holds " + strconv.QuoteRune(r)
		}
	}
	if strings.HasPrefix(out, forged) || strings.Contains(out, "\n"+forged) {
		return "has a line that begins with " + forged
	}
	return ""
}

// TestNamesStayNames puts names that hold anything to every command, as every argument
// and as the value of every flag: what comes out commands no terminal, and no name makes
// a line. With --json, every line is JSON, and the exit code is the same.
func TestNamesStayNames(t *testing.T) {
	_, key, cert := clitest.Signer(t, -1, 1)
	t.Chdir(t.TempDir())
	t.Setenv("IPE_SOCKET", "nobody")
	t.Setenv("PKCS11_MODULE_PATH", "")
	if err := os.Mkdir("dir", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range nasty() {
		for _, c := range leaves(t) {
			for _, args := range lines(c, name, key, cert) {
				stage(t, name)
				code, stdout, stderr := clitest.Run(nil, args...)
				for _, out := range []string{stdout, stderr} {
					if bad := clean(out); bad != "" {
						t.Errorf("ipe %q: %s: %q", args, bad, out)
					}
				}
				stage(t, name)
				asJSON(t, code, append([]string{"--json"}, args...))
			}
		}
		_ = os.Remove(name)
		_ = os.Remove(filepath.Join("dir", name))
	}
}

// asJSON runs a command line with --json. It wants JSON, line by line, and the exit code.
func asJSON(t *testing.T, code int, args []string) {
	t.Helper()
	got, stdout, stderr := clitest.Run(nil, args...)
	noJSON := strings.Contains(stderr, "there is no --json")
	if got != code && !noJSON {
		t.Errorf("ipe %q: exit code %d, without --json %d: %s", args, got, code, stderr)
	}
	for line := range strings.Lines(stdout) {
		if !json.Valid([]byte(line)) {
			t.Errorf("ipe %q: not JSON: %q", args, line)
		}
	}
	if bad := clean(stdout); bad != "" {
		t.Errorf("ipe %q: %s: %q", args, bad, stdout)
	}
	wantErrors(t, args, stderr)
}

// wantErrors wants standard error to be the objects that are documented.
func wantErrors(t *testing.T, args []string, stderr string) {
	t.Helper()
	for line := range strings.Lines(stderr) {
		var o map[string]string
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Errorf("ipe %q: standard error: %v: %q", args, err, line)
			continue
		}
		_, hasErrno := o["errno"]
		_, hasHint := o["hint"]
		isError := len(o) == 3 && o["error"] != "" && hasErrno && hasHint
		isNotice := len(o) == 1 && o["warning"]+o["waiting"]+o["notice"]+o["trace"]+o["done"] != ""
		if !isError && !isNotice {
			t.Errorf("ipe %q: standard error: %q", args, line)
		}
		for _, text := range o {
			if bad := clean(text); bad != "" || strings.Contains(text, "\n") {
				t.Errorf("ipe %q: standard error: %s: %q", args, bad, text)
			}
		}
	}
}

// TestErrorsAreJSON: every command has its errors as JSON, of all kinds, and the exit
// code that it has without.
func TestErrorsAreJSON(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("IPE_SOCKET", "nobody")
	for _, c := range append(leaves(t), cli.Root(), command(t, "policy"), command(t, "profile"), command(t, "fsverity"), command(t, "dmverity"),
		command(t, "doctor"), command(t, "version")) {
		for _, args := range [][]string{{"--frobnicate"}, {"--frobnicate", "--json"}, {"a", "b", "c", "d", "e", "f"}, {"--socket"}} {
			if c.Name() == "fmt" && args[0] == "a" {
				continue // has no --json, and says so instead
			}
			args = append(path(c), args...)
			want, _, _ := clitest.Run(nil, args...)
			code, stdout, stderr := clitest.Run(nil, append([]string{"--json"}, args...)...)
			if code != want || code == ui.ExitOK || stdout != "" && code == ui.ExitUsage {
				t.Errorf("ipe --json %q: exit code %d, want %d; %s", args, code, want, stdout)
			}
			if stderr == "" && stdout == "" {
				t.Errorf("ipe --json %q: says nothing", args)
			}
			wantErrors(t, args, stderr)
		}
	}
	for _, tt := range []struct {
		line, errno, hint string
		code              int
	}{
		{"status", "ENOENT", "start it with", ui.ExitUnreachable},
		{"policy", "EINVAL", "ipe policy --help", ui.ExitUsage},
		{"policy list --frob", "EINVAL", "ipe policy list --help", ui.ExitUsage},
		{"policy lisst", "EINVAL", "ipe policy list", ui.ExitUsage},
		{"fsverity digest missing", "ENOENT", "", ui.ExitRefused},
		{"policy fmt missing", "EINVAL", "", ui.ExitUsage},
		{"completion bash", "EINVAL", "", ui.ExitUsage},
		{"completion bash x", "EINVAL", "", ui.ExitUsage},
	} {
		code, stdout, stderr := clitest.Run(nil, append(strings.Fields(tt.line), "--json")...)
		var e struct{ Error, Errno, Hint string }
		if err := json.Unmarshal([]byte(stderr), &e); err != nil || stdout != "" {
			t.Errorf("ipe %s --json: %v: %q, standard output %q", tt.line, err, stderr, stdout)
		}
		if code != tt.code || e.Error == "" || e.Errno != tt.errno || !strings.Contains(e.Hint, tt.hint) {
			t.Errorf("ipe %s --json: exit code %d, %+v; want %d, %s, a hint of %q", tt.line, code, e, tt.code, tt.errno, tt.hint)
		}
	}
}

func command(t *testing.T, name string) *cobra.Command {
	t.Helper()
	for _, c := range cli.Root().Commands() {
		if c.Name() == name {
			return c
		}
	}
	t.Fatalf("no command %s", name)
	return nil
}

// TestNamesOfPolicies: a daemon whose policies have such names.
func TestNamesOfPolicies(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("IPE_SOCKET", "s")
	names := []string{"\x1b[2Jp", "\u202ep", "p\xff", `"p"`, `p\n` + forged, "\x9bp"}
	texts := []string{}
	for _, name := range names {
		texts = append(texts, "policy_name="+name+" policy_version=1.0.0\nDEFAULT action=DENY\n")
	}
	clitest.Serve(t, controltest.NewEngine(), texts...)
	for _, line := range []string{"policy list", "status", "mode", "events"} {
		code, stdout, stderr := clitest.Run(nil, strings.Fields(line)...)
		if bad := clean(stdout + stderr); bad != "" || code == ui.ExitUnreachable || code == ui.ExitUsage {
			t.Errorf("ipe %s: exit code %d, %s: %q", line, code, bad, stdout+stderr)
		}
		if rows := strings.Count(stdout, "\n"); line == "policy list" && rows != len(names)+1 {
			t.Errorf("ipe %s: %d lines for %d policies", line, rows, len(names))
		}
	}
	for _, name := range names {
		for _, line := range []string{"policy preflight", "policy activate", "policy activate --force", "status", "policy delete"} {
			args := append(strings.Fields(line), name)
			if line == "status" {
				args = args[:1]
			}
			_, stdout, stderr := clitest.Run(nil, args...)
			if bad := clean(stdout + stderr); bad != "" {
				t.Errorf("ipe %q: %s: %q", args, bad, stdout+stderr)
			}
			asJSONAgain(t, args)
		}
	}
}

// asJSONAgain is asJSON for what does not answer the same twice.
func asJSONAgain(t *testing.T, args []string) {
	t.Helper()
	_, stdout, stderr := clitest.Run(nil, append(args, "--json")...)
	for out := bufio.NewScanner(strings.NewReader(stdout)); out.Scan(); {
		if !json.Valid(out.Bytes()) {
			t.Errorf("ipe %q --json: not JSON: %q", args, out.Text())
		}
	}
	if bad := clean(stdout); bad != "" {
		t.Errorf("ipe %q --json: %s: %q", args, bad, stdout)
	}
	wantErrors(t, args, stderr)
}
