//go:build guest

package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/await"
)

// maxIdle and maxWatchdog bound the memory of an idle iped, which lives on small
// machines, and what the process that watches it has beside the program's file, which
// both share.
const (
	maxIdle     = 20 << 10 // KiB
	maxWatchdog = 6 << 10
)

// treeDir is where iped serves its control tree.
const treeDir = "/run/tree"

// node demands what a file of the tree reads.
func node(t *testing.T, name, want string) {
	t.Helper()
	if got, err := os.ReadFile(treeDir + "/" + name); err != nil || string(got) != want {
		t.Errorf("%s reads %q, %v, want %q", name, got, err, want)
	}
}

// iped starts the installed daemon, with more flags than the usual ones, and waits
// until it answers.
func iped(t *testing.T, flags ...string) *exec.Cmd {
	t.Helper()
	return bare(t, append([]string{"--trust", "/etc/ipe/trust", "--state", "/run/state", "--fs", treeDir}, flags...)...)
}

// bare starts it with those flags alone.
func bare(t *testing.T, flags ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/iped", append([]string{"--socket", "/run/iped.sock"}, flags...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitAnswer(t)
	return cmd
}

// awaitAnswer waits until iped answers; ipe itself gives up earlier.
func awaitAnswer(t *testing.T) {
	t.Helper()
	if err := await.NoError(func() error { return exec.Command("/bin/ipe", "--socket", "/run/iped.sock", "status").Run() }); err != nil {
		t.Fatalf("iped does not answer: %v", err)
	}
}

func ipe(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("/bin/ipe", append([]string{"--socket", "/run/iped.sock"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ipe %v: %v\n%s", args, err, out)
	}
	// A machine that is busy with other things makes ipe wait, and say so.
	return waits.ReplaceAllString(string(out), "")
}

// waits are the lines in which ipe tells of a wait.
var waits = regexp.MustCompile(`(?m)^(ipe: waiting: .*|\{"waiting":.*\})\n`)

// says demands what a command prints.
func says(t *testing.T, want string, args ...string) {
	t.Helper()
	if got := ipe(t, args...); got != want {
		t.Errorf("ipe %v says %q, want %q", args, got, want)
	}
}

func refused(t *testing.T, errno string, args ...string) {
	t.Helper()
	out, err := exec.Command("/bin/ipe", append([]string{"--socket", "/run/iped.sock"}, args...)...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), errno) {
		t.Errorf("ipe %v: %v, want %s\n%s", args, err, errno, out)
	}
}

type status struct {
	Summary   string `json:"summary"`
	Enforcing bool   `json:"enforcing"`
	Engine    string `json:"engine"`
	Reason    string `json:"engine_reason"`
	Kernel    struct {
		Generation uint64 `json:"generation"`
		Adopted    bool   `json:"adopted"`
	} `json:"kernel"`
	Active *struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"active"`
	Mode struct {
		Enforce      bool `json:"enforce"`
		SuccessAudit bool `json:"success_audit"`
	} `json:"mode"`
	Problems []string `json:"problems"`
}

func statusNow(t *testing.T) status {
	t.Helper()
	var s status
	if err := json.Unmarshal([]byte(ipe(t, "status", "--json")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func denied(t *testing.T, when string) {
	t.Helper()
	_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if !errors.Is(err, unix.EACCES) {
		t.Errorf("%s: anonymous executable memory: %v, want EACCES", when, err)
	}
}

// TestInstalledLifeCycle is one machine's life: deploy, activate, update, kill,
// restart, permissive, stop.
func TestInstalledLifeCycle(t *testing.T) {
	daemon := iped(t)
	if s := statusNow(t); s.Enforcing || s.Active != nil || s.Engine != os.Getenv("ENGINE") {
		t.Errorf("fresh: %+v, want engine %s", s, os.Getenv("ENGINE"))
	}
	says(t, "loaded site 1.0.0, inactive\n", "policy", "load", "/site-1.0.0.p7b")
	if s := statusNow(t); s.Enforcing {
		t.Errorf("loaded, not active: %+v", s)
	}
	says(t, "active: site 1.0.0\nenforcing\n", "policy", "activate", "site")
	denied(t, "active")
	if s := statusNow(t); !s.Enforcing || s.Active == nil || s.Active.Version != "1.0.0" {
		t.Errorf("active: %+v", s)
	}
	says(t, "updated site to 1.1.0, active\n", "policy", "update", "/site-1.1.0.p7b")
	node(t, "policies/site/active", "1")
	node(t, "policies/site/version", "1.1.0")
	refused(t, "ESTALE", "policy", "update", "/site-1.0.0.p7b")
	refused(t, "EPERM", "policy", "delete", "site")
	refused(t, "EEXIST", "policy", "load", "/site-1.1.0.p7b")
	says(t, "loaded other 2.0.0, inactive\n", "policy", "load", "/other-2.0.0.p7b")
	says(t, "deleted other\n", "policy", "delete", "other")
	refused(t, "ENOENT", "policy", "activate", "other")
	t.Log(ipe(t, "policy", "list"))
	t.Log(ipe(t, "status"))
	t.Log(ipe(t, "doctor"))

	if err := errors.Join(daemon.Process.Kill(), ignore(daemon.Wait())); err != nil {
		t.Fatal(err)
	}
	denied(t, "killed")
	if _, err := os.ReadFile(treeDir + "/enforce"); !errors.Is(err, unix.ENOTCONN) {
		t.Errorf("the tree of a killed iped: %v, want ENOTCONN", err)
	}
	generation := statusAfterRestart(t)
	idle(t)
	node(t, "enforce", "1")
	if err := os.WriteFile(treeDir+"/success_audit", []byte("y"), 0); err != nil {
		t.Error(err)
	}
	ipe(t, "mode", "permissive")
	node(t, "enforce", "0")
	node(t, "success_audit", "1")
	allowed(t, "permissive")
	if s := statusNow(t); s.Enforcing || s.Kernel.Generation != generation {
		t.Errorf("permissive: %+v", s)
	}
	ipe(t, "mode", "enforce")
	denied(t, "enforcing again")
	t.Log(ipe(t, "events"))
}

// statusAfterRestart starts iped anew; it must take over what the kernel does.
func statusAfterRestart(t *testing.T) uint64 {
	t.Helper()
	again := iped(t)
	t.Cleanup(func() {
		if err := errors.Join(again.Process.Signal(unix.SIGTERM), again.Wait()); err != nil {
			t.Error(err)
		}
		denied(t, "stopped")
	})
	s := statusNow(t)
	if !s.Enforcing || !s.Kernel.Adopted || s.Active == nil || s.Active.Version != "1.1.0" {
		t.Errorf("restarted: %+v", s)
	}
	return s.Kernel.Generation
}

func ignore(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// idle measures the daemon's memory once it has nothing to do. How soon that is depends
// on the machine, so it waits for as long as it takes, within reason.
func idle(t *testing.T) {
	t.Helper()
	ipe(t, "status")
	var rss, own, watchdog int
	settled := await.Until(func() bool {
		rss, own = memory(t, "iped")
		_, watchdog = memory(t, "iped-watchdog")
		return rss <= maxIdle && watchdog <= maxWatchdog
	})
	t.Logf("idle iped: %.1f MiB, of which %.1f are its own; its watchdog: %.1f", float64(rss)/1024, float64(own)/1024, float64(watchdog)/1024)
	if !settled {
		t.Errorf("idle iped has %d KiB, at most %d, and its watchdog %d of its own, at most %d", rss, maxIdle, watchdog, maxWatchdog)
	}
}

// memory returns what the process of that name has in memory, and what of that no file
// backs, in KiB.
func memory(t *testing.T, name string) (rss, own int) {
	t.Helper()
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		text, err := os.ReadFile("/proc/" + d.Name() + "/status")
		if err != nil || !bytes.HasPrefix(text, []byte("Name:\t"+name+"\n")) {
			continue
		}
		for key, to := range map[string]*int{"VmRSS:": &rss, "RssAnon:": &own} {
			_, rest, _ := strings.Cut(string(text), key)
			if _, err := fmt.Sscan(rest, to); err != nil {
				t.Fatal(err)
			}
		}
		return rss, own
	}
	t.Errorf("no process %s", name)
	return 0, 0
}

// TestHungDaemon: a stopped iped hangs those who use its tree for a while only, and
// the kernel goes on denying meanwhile.
func TestHungDaemon(t *testing.T) {
	detachAll(t)
	daemon := iped(t, "--state", "/run/hung")
	ipe(t, "policy", "load", "/other-2.0.0.p7b")
	ipe(t, "policy", "activate", "other")
	if err := daemon.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stands(t, daemon.Process.Pid)
	ends := []func(){gives3(t, "status"), gives3(t, "mode", "permissive")}
	stopped := time.Now()
	_, err := os.ReadFile(treeDir + "/enforce")
	waited := time.Since(stopped)
	if !errors.Is(err, unix.ECONNABORTED) || waited < patience/2 || waited > 20*patience {
		t.Errorf("read: %v after %v, want ECONNABORTED after %v", err, waited, patience)
	}
	if err := os.WriteFile(treeDir+"/enforce", []byte("0"), 0); !errors.Is(err, unix.ENOTCONN) {
		t.Errorf("write: %v, want ENOTCONN", err)
	}
	denied(t, "iped is stopped")
	for _, end := range ends {
		end()
	}
	if err := daemon.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := await.NoError(func() error { _, err := os.ReadFile(treeDir + "/enforce"); return err }); err != nil {
		t.Errorf("the tree of an iped that goes on: %v", err)
	}
	node(t, "policies/other/active", "1")
	// The request of who gave up was still there when iped went on.
	says(t, "enforce, success audit off\n", "mode")
	stop(t, daemon, unix.SIGTERM)
	detachAll(t)
}

// stands waits until a process has stopped. When one of its threads has, none of them runs
// its program any more; one that waits in the kernel, as iped's do that ask its own tree,
// stops when it comes back from there.
func stands(t *testing.T, pid int) {
	t.Helper()
	if !await.Until(func() bool {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(files, func(file string) bool {
			text, err := os.ReadFile(file)
			return err == nil && bytes.Contains(text, []byte(") T "))
		})
	}) {
		t.Fatal("it goes on")
	}
}

// gives3 starts ipe, which says that it waits and gives up; what it returns waits for that.
func gives3(t *testing.T, args ...string) func() {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command("/bin/ipe", append([]string{"--socket", "/run/iped.sock"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
			t.Errorf("ipe %v: %v, want exit code 3", args, err)
		}
		words := []string{"ipe: waiting: iped gives no sign of life for", "no sign of life for 15 s", "ipe: hint: "}
		if args[0] == "mode" {
			words = append(words, "whether the change was made is not known", "hint: ipe status says")
		}
		for _, want := range words {
			if !strings.Contains(out.String(), want) {
				t.Errorf("ipe %v does not say %q:\n%s", args, want, &out)
			}
		}
	}
}

func TestRefusedKernel(t *testing.T) {
	out, err := exec.Command("/bin/iped", "--trust", "/", "--state", "/run/state", "--socket", "/run/iped.sock").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitUnguarded {
		t.Errorf("iped ended with %v", err)
	}
	active, err := os.ReadFile("/sys/kernel/security/lsm")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "lsm="+strings.TrimSpace(string(active))+",bpf\n") {
		t.Errorf("the exact line to add is missing:\n%s", out)
	}
	t.Logf("%s", out)
}
