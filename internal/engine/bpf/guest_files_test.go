//go:build guest

package bpf_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf"
	"github.com/ipe-linux/ipe/internal/lab/await"
	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/policy"
)

// subject is a file, or memory, with the facts that it really has.
type subject struct {
	name    string
	path    string
	facts   eval.Evidence
	actions []action
}

type action struct {
	name string
	hook eval.Hook
	try  func() error
	// facts are those seen by this action if not the subject's.
	facts *eval.Evidence
}

func fileActions(path string) []action {
	all := []action{
		{"exec", eval.HookBprmCheck, func() error { return execute(path) }, nil},
		{"mmap", eval.HookMmap, func() error { return mapFile(path) }, nil},
		{"mprotect", eval.HookMprotect, func() error { return protectFile(path) }, nil},
	}
	if os.Getenv("KERNEL_NAME") == "newest" {
		all = append(all, action{"execveat to check", eval.HookBprmCredsForExec, func() error { return askToExecute(path) }, nil})
	}
	return all
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// mounted makes the test's file systems once per boot.
var mounted sync.Once

func mountAll(t *testing.T) {
	mounted.Do(func() {
		for _, d := range []string{"/volume", "/signed", "/other", "/files"} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		openVolume(t, "volume", os.Getenv("ROOT_HASH"), "/volume")
		openVolume(t, "other", os.Getenv("OTHER_HASH"), "/other")
		if keyTrusted() {
			linkUserKeyring(t)
			openVolume(t, "volume", os.Getenv("ROOT_HASH"), "/signed", "--root-hash-signature=/images/roothash.p7s")
		}
		copyImage(t, "files.img", "pristine.img")
		sealVolume(t)
		tool(t, "mount", "-o", "loop", "/images/files.img", "/files")
		tool(t, "fsverity", "enable", "/files/sealed")
		trustFileSignatures(t)
		tool(t, "fsverity", "enable", "/files/signed", "--signature=/images/digest.p7s")
		mountOverlays(t)
	})
}

// bothHash is the root hash of the volume at /both.
var bothHash string

// sealVolume makes a dm-verity volume of a file system that holds an fs-verity file:
// what has both facts.
func sealVolume(t *testing.T) {
	t.Helper()
	mountFresh(t, "both")
	tool(t, "fsverity", "enable", "/both/sealed")
	if err := unix.Unmount("/both", 0); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(tool(t, "veritysetup", "format", "/images/both.img", "/images/both.hash"), "Root hash:")
	bothHash = strings.Fields(rest)[0]
	openVolume(t, "both", bothHash, "/both")
}

// mountFresh mounts a copy of the file system as it was before anything was sealed.
func mountFresh(t *testing.T, name string) {
	t.Helper()
	copyImage(t, "pristine.img", name+".img")
	if err := os.MkdirAll("/"+name, 0o755); err != nil {
		t.Fatal(err)
	}
	tool(t, "mount", "-o", "loop", "/images/"+name+".img", "/"+name)
}

func copyImage(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile("/images/" + from)
	if err := errors.Join(err, os.WriteFile("/images/"+to, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// mountOverlays puts an overlay over each file system that gives facts, and one over
// an overlay.
func mountOverlays(t *testing.T) {
	t.Helper()
	for _, l := range []struct{ lower, at string }{
		{"/volume", "/overlay-volume"}, {"/files", "/overlay-files"}, {"/overlay-volume", "/overlay-overlay"}, {"/ramdisk", "/overlay-ramdisk"},
		{"/files", "/overlay-late"},
	} {
		upper, work := "/tmp"+l.at+"/upper", "/tmp"+l.at+"/work"
		for _, d := range []string{l.lower, l.at, upper, work} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if l.lower == "/ramdisk" {
			if err := os.WriteFile("/ramdisk/probe", []byte("#!/no-such-interpreter\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		options := "lowerdir=" + l.lower + ",upperdir=" + upper + ",workdir=" + work
		if err := unix.Mount("overlay", l.at, "overlay", 0, options); err != nil {
			t.Fatalf("mount overlay with %s: %v", options, err)
		}
	}
	f, err := os.OpenFile("/overlay-files/changed", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("copied up\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if late, err = os.Open("/overlay-late/sealed"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod("/overlay-late/sealed", 0o700); err != nil {
		t.Fatal(err)
	}
}

// late was opened on an overlay before it was copied up.
var late *os.File

// overlays are judged by the inode that holds the data; boot_verified is that of the
// mount, which for mprotect is the layer's since 6.8.
func overlays(t *testing.T) []subject {
	t.Helper()
	root := eval.Evidence{RootHash: rootHash(t, "ROOT_HASH")}
	layer := eval.Evidence{BootVerified: layersMapped()}
	ramdisk := fileActions("/overlay-ramdisk/probe")
	ramdisk[2].facts = &layer
	sealed := eval.Evidence{FileDigest: measure(t, "/files/sealed")}
	return []subject{
		{name: "overlay over the volume", path: "/overlay-volume/probe", facts: root},
		{name: "overlay over an overlay", path: "/overlay-overlay/probe", facts: root},
		{name: "overlay over a sealed file", path: "/overlay-files/sealed", facts: eval.Evidence{FileDigest: measure(t, "/files/sealed")}},
		{name: "overlay over a signed file", path: "/overlay-files/signed", facts: eval.Evidence{FileDigest: measure(t, "/files/signed"), FileDigestSigned: true}},
		{name: "overlay, copied up", path: "/overlay-files/changed"},
		{name: "overlay, opened before it was copied up", actions: []action{
			{"mmap", eval.HookMmap, func() error { return mapOpen(late) }, nil},
			{"mprotect", eval.HookMprotect, func() error { return protectOpen(late) }, &sealed},
		}},
		{name: "overlay over the initramfs", path: "/overlay-ramdisk/probe", actions: ramdisk},
	}
}

// keyTrusted: this guest's kernel takes root-hash signatures of the test key, for which
// the firmware or, on 6.1, the machine's owner vouches.
func keyTrusted() bool { return os.Getenv("KERNEL_NAME") != "" }

// layersMapped: a mapping of a file of overlayfs is one of the layer's file, since 6.8.
func layersMapped() bool { return os.Getenv("KERNEL_NAME") != "6.1" }

// linkUserKeyring lets the kernel find the key that veritysetup puts there.
func linkUserKeyring(t *testing.T) {
	t.Helper()
	if _, err := unix.KeyctlInt(unix.KEYCTL_LINK, unix.KEY_SPEC_USER_KEYRING, unix.KEY_SPEC_SESSION_KEYRING, 0, 0); err != nil {
		t.Fatal(err)
	}
}

// openVolume opens a copy of the image, so that one image can be open twice.
func openVolume(t *testing.T, image, root, at string, extra ...string) {
	t.Helper()
	name := strings.TrimPrefix(at, "/")
	data, err := os.ReadFile("/images/" + image + ".img")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/images/"+name+".data", data, 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "veritysetup", append([]string{"open", "/images/" + name + ".data", name, "/images/" + image + ".hash", root}, extra...)...)
	tool(t, "mount", "-o", "ro", "/dev/mapper/"+name, at)
}

func trustFileSignatures(t *testing.T) {
	t.Helper()
	cert, err := os.ReadFile("/images/cert.der")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := os.ReadFile("/proc/keys")
	if err != nil {
		t.Fatal(err)
	}
	rings := abi.FindKeyrings(string(keys), ".fs-verity")
	if len(rings) != 1 {
		t.Fatalf("keyrings .fs-verity: %x", rings)
	}
	if _, err := unix.AddKey("asymmetric", "", cert, rings[0]); err != nil {
		t.Fatal(err)
	}
}

func measure(t *testing.T, path string) digest.Digest {
	t.Helper()
	d, err := digest.Parse(strings.Fields(tool(t, "fsverity", "measure", path))[0])
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func rootHash(t *testing.T, variable string) digest.Digest {
	t.Helper()
	sum, err := hex.DecodeString(os.Getenv(variable))
	if err != nil || len(sum) == 0 {
		t.Fatalf("%s: %v", variable, err)
	}
	return digest.New("sha256", sum)
}

func bothDigest(t *testing.T) digest.Digest {
	t.Helper()
	d, err := digest.Parse("sha256:" + bothHash)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func subjects(t *testing.T, e *bpf.Engine) []subject {
	t.Helper()
	mountAll(t)
	if err := os.WriteFile("/tmp/probe", []byte("#!/no-such-interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/probe", []byte("#!/no-such-interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	both := bothDigest(t)
	list := []subject{
		{name: "initramfs", path: "/probe", facts: eval.Evidence{BootVerified: true}},
		{name: "tmpfs", path: "/tmp/probe"},
		{name: "memfd", path: memfd(t)},
		{name: "volume", path: "/volume/probe", facts: eval.Evidence{RootHash: rootHash(t, "ROOT_HASH")}},
		{name: "other volume", path: "/other/probe", facts: eval.Evidence{RootHash: rootHash(t, "OTHER_HASH")}},
		{name: "plain file", path: "/files/plain"},
		{name: "sealed file on a volume", path: "/both/sealed", facts: eval.Evidence{RootHash: both, FileDigest: measure(t, "/both/sealed")}},
		{name: "plain file on that volume", path: "/both/plain", facts: eval.Evidence{RootHash: both}},
		{name: "sealed file", path: "/files/sealed", facts: eval.Evidence{FileDigest: measure(t, "/files/sealed")}},
		{name: "file with a signature", path: "/files/signed", facts: eval.Evidence{FileDigest: measure(t, "/files/signed"), FileDigestSigned: true}},
	}
	if keyTrusted() {
		list = append(list, subject{name: "signed volume", path: "/signed/probe", facts: eval.Evidence{RootHash: rootHash(t, "ROOT_HASH"), RootHashSigned: true}})
	}
	list = append(list, overlays(t)...)
	for i := range list {
		if list[i].actions == nil {
			list[i].actions = fileActions(list[i].path)
		}
	}
	list = append(list,
		subject{name: "private memory", actions: []action{
			{"mmap", eval.HookMmap, mapAnonymous, nil},
			{"mprotect", eval.HookMprotect, func() error { return protectAnonymous(unix.MAP_PRIVATE) }, nil},
		}},
		subject{name: "shared memory", actions: []action{
			{"mmap", eval.HookMmap, func() error { return mapMemory(unix.MAP_SHARED) }, nil},
			{"mprotect", eval.HookMprotect, func() error { return protectAnonymous(unix.MAP_SHARED) }, nil},
		}})
	for i := range list {
		list[i].facts.Unavailable = e.Unavailable()
	}
	return list
}

func memfd(t *testing.T) string {
	t.Helper()
	fd, err := unix.MemfdCreate("probe", 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if _, err := unix.Write(fd, bytes.Repeat([]byte("#!/no-such-interpreter\n"), 1)); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)
}

// policies are statements that, together, look at every property in both forms.
func policies(t *testing.T) [][]string {
	root, other := rootHash(t, "ROOT_HASH"), rootHash(t, "OTHER_HASH")
	sealed := measure(t, "/files/sealed")
	return [][]string{
		{"DEFAULT action=DENY"},
		{"DEFAULT action=DENY", "op=EXECUTE dmverity_roothash=" + root.String() + " action=ALLOW"},
		{"DEFAULT action=DENY", "op=EXECUTE dmverity_signature=TRUE action=ALLOW"},
		{"DEFAULT action=ALLOW", "op=EXECUTE dmverity_signature=FALSE action=DENY"},
		{"DEFAULT action=DENY", "op=EXECUTE fsverity_digest=" + sealed.String() + " action=ALLOW"},
		{"DEFAULT action=DENY", "op=EXECUTE fsverity_signature=TRUE action=ALLOW"},
		{"DEFAULT action=ALLOW", "op=EXECUTE fsverity_signature=FALSE action=DENY"},
		{"DEFAULT action=ALLOW", "op=EXECUTE boot_verified=FALSE action=DENY"},
		{"DEFAULT action=DENY", "op=EXECUTE dmverity_roothash=" + other.String() + " action=DENY", "op=EXECUTE dmverity_roothash=" + root.String() + " dmverity_signature=FALSE action=ALLOW"},
		{"DEFAULT action=ALLOW", "DEFAULT op=EXECUTE action=DENY", "op=EXECUTE dmverity_roothash=" + root.String() + " fsverity_digest=" + sealed.String() + " action=ALLOW"},
		{"DEFAULT action=DENY", "op=EXECUTE dmverity_roothash=" + bothDigest(t).String() + " fsverity_digest=" + sealed.String() + " action=ALLOW"},
		{"DEFAULT action=ALLOW", "op=EXECUTE fsverity_digest=" + sealed.String() + " dmverity_roothash=" + bothDigest(t).String() + " action=DENY", "op=EXECUTE fsverity_digest=" + sealed.String() + " action=ALLOW"},
		{"DEFAULT action=DENY", "op=EXECUTE dmverity_roothash=SHA256:" + os.Getenv("ROOT_HASH") + " action=ALLOW", "op=KMODULE action=ALLOW"},
		{"DEFAULT action=DENY", "op=EXECUTE boot_verified=TRUE boot_verified=FALSE action=ALLOW"},
	}
}

// TestEngineDecides: for every file kind, way of executing and policy, the kernel
// answers and records what eval says about the facts that the file really has.
func TestEngineDecides(t *testing.T) {
	e := open(t)
	list := subjects(t, e)
	rec := newRecorder(t, e)
	compared := 0
	for i, statements := range policies(t) {
		a := activate(t, e, engine.Mode{Enforce: true, SuccessAudit: true}, statements...)
		for _, s := range list {
			for _, act := range s.actions {
				check(t, fmt.Sprintf("policy %d, %s, %s", i, s.name, act.name), a.Policy, s, act, rec)
				compared++
			}
		}
	}
	if err := e.SetMode(engine.Mode{}); err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		for _, act := range s.actions {
			if err := act.try(); err != nil {
				t.Errorf("permissive, %s, %s: %v", s.name, act.name, err)
			}
		}
	}
	t.Logf("%d decisions compared", compared)
}

func check(t *testing.T, what string, p *policy.Policy, s subject, act action, rec *recorder) {
	t.Helper()
	event := eval.Event{Op: policy.OpExecute, Hook: act.hook, Evidence: s.facts}
	if act.facts != nil {
		event.Evidence = *act.facts
		event.Evidence.Unavailable = s.facts.Unavailable
	}
	want := eval.Decide(p, event)
	rec.drain()
	err := act.try()
	if got := errors.Is(err, unix.EACCES); got != (want.Action == policy.Deny) || err != nil && !got {
		t.Errorf("%s: kernel says %v, policy says %v (facts %+v)", what, err, want, s.facts)
		return
	}
	got, ok := rec.next(act.hook)
	if !ok {
		t.Errorf("%s: no record", what)
		return
	}
	facts := got.Event.Evidence
	facts.Unavailable = s.facts.Unavailable
	if got.Decision != want || facts != event.Evidence {
		t.Errorf("%s: recorded %+v with %+v, want %+v with %+v", what, got.Decision, facts, want, event.Evidence)
	}
}

// recorder keeps the records of this process.
type recorder struct {
	events chan engine.Event
}

func newRecorder(t *testing.T, e *bpf.Engine) *recorder {
	r := &recorder{events: make(chan engine.Event, 4096)}
	go e.Events(t.Context(), func(ev engine.Event) {
		if ev.PID == uint32(os.Getpid()) {
			r.events <- ev
		}
	})
	time.Sleep(50 * time.Millisecond) // until it has subscribed
	return r
}

func (r *recorder) drain() {
	for len(r.events) > 0 {
		<-r.events
	}
}

// next waits for the record of an event at the given hook; those of the Go
// runtime's own mappings are of other files.
func (r *recorder) next(h eval.Hook) (engine.Event, bool) {
	for {
		select {
		case ev := <-r.events:
			if ev.Event.Hook == h {
				return ev, true
			}
		case <-time.After(await.Limit):
			return engine.Event{}, false
		}
	}
}

// TestEngineSwitchesAtomically: policies that both deny, one by a rule and one by
// its default, take turns under load. Nothing is ever allowed, and no record mixes
// the generation of one with the decision of the other.
func TestEngineSwitchesAtomically(t *testing.T) {
	e := open(t)
	byRule := []string{"DEFAULT action=ALLOW", "op=EXECUTE boot_verified=FALSE action=DENY"}
	byDefault := []string{"DEFAULT action=DENY"}
	activate(t, e, enforcing, byRule...) // generation 1
	var mixed, records int
	go e.Events(t.Context(), func(ev engine.Event) {
		records++
		if isRule := ev.Decision.Rule == 1; isRule != (ev.Generation%2 == 1) {
			mixed++
		}
	})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := mapAnonymous(); !errors.Is(err, unix.EACCES) {
					t.Errorf("during a switch: %v", err)
					return
				}
			}
		})
	}
	for i := range 100 {
		activate(t, e, enforcing, slices.Clone([][]string{byDefault, byRule}[i%2])...)
	}
	close(stop)
	wg.Wait()
	if s, err := e.State(); err != nil || s.Generation != 101 {
		t.Errorf("state %+v, %v", s, err)
	}
	if mixed != 0 || records == 0 {
		t.Errorf("%d of %d records mix two policies", mixed, records)
	}
	t.Logf("%d records over 100 switches", records)
}

// TestEngineCountsLosses: with a reader that stands still, records are lost and
// counted, and every verdict is as before.
func TestEngineCountsLosses(t *testing.T) {
	e := open(t)
	activate(t, e, enforcing, "DEFAULT action=DENY")
	release := make(chan struct{})
	var received atomic.Uint64
	go e.Events(t.Context(), func(engine.Event) { <-release; received.Add(1) })
	time.Sleep(50 * time.Millisecond)
	// Twice what the ring buffer and the queue behind it hold of such records.
	const denials = 20_000
	for range denials {
		if err := mapAnonymous(); !errors.Is(err, unix.EACCES) {
			t.Fatal(err)
		}
	}
	s, err := e.State()
	close(release)
	if err != nil || s.Lost == 0 || s.Lost >= denials {
		t.Errorf("lost %d of %d, %v", s.Lost, denials, err)
	}
	if !await.Until(func() bool {
		if s, err = e.State(); err != nil {
			t.Fatal(err)
		}
		return received.Load()+s.Lost == denials
	}) {
		t.Errorf("%d received and %d lost, want %d in all", received.Load(), s.Lost, denials)
	}
	t.Logf("lost %d of %d", s.Lost, denials)
}

func TestEngineRootfsCannotBeMounted(t *testing.T) {
	if err := os.MkdirAll("/fake", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", "/fake", "rootfs", 0, ""); !errors.Is(err, unix.ENODEV) {
		t.Errorf("mount -t rootfs: %v, want ENODEV: the type's name would prove nothing", err)
	}
}

// TestEngineManyRules: a large policy loads and the last of its rules decides.
func TestEngineManyRules(t *testing.T) {
	e := open(t)
	mountAll(t)
	statements := []string{"DEFAULT action=DENY"}
	for i := range 10_000 {
		statements = append(statements, fmt.Sprintf("op=EXECUTE fsverity_digest=sha256:%064x action=ALLOW", i))
	}
	statements = append(statements, "op=EXECUTE fsverity_digest="+measure(t, "/files/sealed").String()+" action=ALLOW")
	start := time.Now()
	activate(t, e, enforcing, statements...)
	t.Logf("10,001 rules active after %v", time.Since(start))
	if err := execute("/files/sealed"); err != nil {
		t.Errorf("sealed file: %v", err)
	}
	if err := execute("/files/plain"); !errors.Is(err, unix.EACCES) {
		t.Errorf("plain file: %v", err)
	}
}
