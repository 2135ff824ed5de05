//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/lab/scenarios"
	"github.com/ipe-linux/ipe/internal/lab/scenarios/records"
	"github.com/ipe-linux/ipe/internal/lab/scenarios/transcript"
	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// configuration is one thing that enforces, on one kernel.
type configuration struct {
	// name is that of the report, kernel that of the series.
	name, kernel string
	// reference names the configuration that it is compared with; none for the first.
	reference string
	// daemon: iped enforces, not the kernel's own IPE.
	daemon bool
	// owned: the guest boots through shim with the test key as its owner's, which is how
	// a kernel takes root-hash signatures that does not look at the platform keyring.
	owned bool
	// generation is that of the reference's records, which iped is asked to write.
	generation string
	// lacks takes away the facts that cannot be had there; nil for none. Each of them
	// has an entry in the table of differences.
	lacks func(subject, act string, e *eval.Evidence)
	// unjudged are acts that are not judged there.
	unjudged []string
}

// configurations lists all. What judges beside a kernel's own IPE is compared with
// that; the newest kernel's own IPE is compared with that of 6.12, so that the table
// says what a generation of kernels changed, and nothing else is left.
func configurations() []configuration {
	// execveat has no such flag before 6.14, and refuses.
	unjudged := []string{"execveat check"}
	return []configuration{
		{name: "a", kernel: "6.12", unjudged: unjudged},
		{name: "b", kernel: "6.12", reference: "a", daemon: true, generation: "6.12", unjudged: unjudged},
		{name: "c", kernel: "6.1", reference: "a", daemon: true, owned: true, generation: "6.12", unjudged: unjudged, lacks: layerUnseen},
		{name: "d", kernel: "newest", reference: "a"},
		{name: "e", kernel: "newest", reference: "d", daemon: true, generation: "6.19"},
	}
}

func (c configuration) enforcer() string {
	if c.daemon {
		return "iped"
	}
	return "the kernel's IPE"
}

// outDisk is where a guest writes its transcript: a disk, as a serial line would take
// longer than all else.
const (
	outDisk = "/dev/vda"
	outSize = 1 << 30 // a sparse file
)

// Where iped serves the control tree, and where it writes records.
const (
	treeDir  = "/run/ipe-tree"
	auditLog = "/run/audit.log"
)

// transcript boots the configuration and gives what the probe wrote.
func (c configuration) transcript(ctx context.Context, r *rig) ([]transcript.Line, debian.Kernel, error) {
	k, err := debian.FindKernel(ctx, c.kernel)
	if err != nil {
		return nil, k, err
	}
	disk := filepath.Join(r.dir, "transcript-"+c.name)
	if err := errors.Join(os.WriteFile(disk, nil, 0o600), os.Truncate(disk, outSize)); err != nil {
		return nil, k, err
	}
	if !r.keep {
		defer os.RemoveAll(disk)
	}
	files, err := c.files(ctx, r, k)
	if err != nil {
		return nil, k, err
	}
	cfg := vm.Config{
		Kernel: k, Command: []string{"/usr/bin/probe"}, Files: files, UEFI: !c.owned, MOK: c.owned,
		Modules: []string{"dm-verity", "loop", "squashfs", "overlay", "fuse", "zram num_devices=1"},
		Disks:   []vm.Disk{{Path: disk}},
		Timeout: r.timeout, Output: &prefixed{w: r.log, prefix: c.name + ": "},
	}
	if c.daemon && c.kernel != "6.1" { // all modules but the kernel's own IPE
		cfg.Append = []string{"lsm=lockdown,landlock,yama,apparmor,tomoyo,bpf"}
	}
	res, err := vm.Run(ctx, cfg)
	if err != nil {
		return nil, k, err
	}
	lines, err := readDisk(disk)
	if res.ExitCode != 0 {
		err = errors.Join(fmt.Errorf("the probe ended with status %d:\n%s", res.ExitCode, tail(res.Output)), err)
	}
	return lines, k, err
}

func readDisk(name string) ([]transcript.Line, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var data []byte
	buf := make([]byte, 1<<20)
	for {
		n, err := f.Read(buf)
		data = append(data, buf[:n]...)
		if err == io.EOF || bytes.IndexByte(buf[:n], 0) >= 0 {
			return transcript.Read(data)
		}
		if err != nil {
			return nil, err
		}
	}
}

func tail(out []byte) []byte { return out[max(0, len(out)-2000):] }

// files are everything in the guest.
func (c configuration) files(ctx context.Context, r *rig, k debian.Kernel) (vm.Files, error) {
	files, err := r.images.files()
	if err != nil {
		return nil, err
	}
	if err := r.kernelFiles(ctx, c.name, k, files); err != nil {
		return nil, err
	}
	setup := scenarios.Config{
		Tree: "/sys/kernel/security/ipe", Records: records.Netlink, Roots: maps.Clone(r.images.roots),
		Out: outDisk, Seed: r.seed, First: r.first, Policies: r.policies,
	}
	if c.daemon {
		setup.Tree, setup.Records = treeDir, auditLog
		setup.Daemon = []string{"/usr/sbin/iped", "--engine", "bpf", "--trust", "/images/platform.pem", "--state", "/run/state", "--socket", "/run/iped.sock",
			"--fs", treeDir, "--audit", "file:" + auditLog, "--audit-size", "0", "--audit-generation", c.generation}
		files["/usr/sbin/iped"] = vm.File{Host: filepath.Join(r.dir, "iped")}
	}
	text, err := json.Marshal(setup)
	if err != nil {
		return nil, err
	}
	files[scenarios.SetupPath] = vm.File{Data: text}
	files["/usr/bin/probe"] = vm.File{Host: filepath.Join(r.dir, "probe")}
	return files, nil
}

// kernelFiles are what a kernel can load: its image, and a module, also compressed.
func (r *rig) kernelFiles(ctx context.Context, configuration string, k debian.Kernel, files vm.Files) error {
	module, err := k.Module(ctx, "dummy")
	if err != nil {
		return err
	}
	name := filepath.Join(r.dir, "module-"+configuration+".ko")
	if err := os.WriteFile(name, module, 0o644); err != nil {
		return err
	}
	// The kernel's decompressor knows no other check.
	if _, err := hostTool(ctx, "xz", "--force", "--keep", "--check=crc32", "--lzma2=dict=1MiB", name); err != nil {
		return err
	}
	image, err := r.signKernel(ctx, configuration, k)
	if err != nil {
		return err
	}
	files.Add(vm.Files{
		"/images/vmlinuz": {Host: image}, "/images/module.ko": {Data: module},
		"/images/module.ko.xz": {Host: name + ".xz"}, "/images/empty": {Data: []byte{}},
	})
	return nil
}

// signKernel gives the kernel's image the signature of the test key in the place of
// Debian's, which not every kernel verifies.
func (r *rig) signKernel(ctx context.Context, configuration string, k debian.Kernel) (string, error) {
	plain, signed := filepath.Join(r.dir, "vmlinuz-"+configuration), filepath.Join(r.dir, "vmlinuz-signed-"+configuration)
	data, err := os.ReadFile(k.Image())
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(plain, data, 0o644); err != nil {
		return "", err
	}
	// This fails if there is none to remove.
	if _, err := hostTool(ctx, "sbattach", "--remove", plain); err != nil {
		fmt.Fprintf(r.log, "%s: %v\n", configuration, err)
	}
	_, err = hostTool(ctx, "sbsign", "--key", r.images.path("platform.key"), "--cert", r.images.path("platform.pem"), "--output", signed, plain)
	return signed, err
}

// rig is what the guests of one run share.
type rig struct {
	dir             string
	images          *images
	facts           *facts
	seed            uint64
	first, policies int
	timeout         time.Duration
	log             io.Writer
	keep            bool
	only            string
}

// newRig builds the programs and the images.
func newRig(ctx context.Context, dir string) (*rig, error) {
	for name, pkg := range map[string]string{"probe": "internal/lab/scenarios/probe", "iped": "cmd/iped"} {
		err := vm.GoCommand(ctx, "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, name), "github.com/ipe-linux/ipe/"+pkg)
		if err != nil {
			return nil, err
		}
	}
	im, err := makeImages(ctx, dir)
	if err != nil {
		return nil, err
	}
	f, err := im.facts(ctx)
	if err != nil {
		return nil, err
	}
	return &rig{dir: dir, images: im, facts: f}, nil
}

// shared is a writer of several guests.
type shared struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(b)
}

// prefixed passes on whole lines, each with a prefix.
type prefixed struct {
	w      io.Writer
	prefix string
	rest   []byte
}

// Write never fails, so that the guest is not kept waiting.
func (p *prefixed) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	for {
		line, rest, whole := bytes.Cut(p.rest, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		p.rest = rest
		fmt.Fprintf(p.w, "%s%s\n", p.prefix, line)
	}
}
