// Package debian fetches kernels, and tools that guests use, as packages of Debian into a
// cache below the user's own, and unpacks them there. Nothing is installed. The newest of
// each series is found by way of the package that depends on it.
package debian

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Kernel is an unpacked kernel package.
type Kernel struct {
	// Name is the series: "6.1", "6.12" or "newest".
	Name string
	// Release is what uname -r prints in the guest.
	Release string
	// Package is the Debian package and its version, for reports.
	Package string
	// Dir is the root of the unpacked package.
	Dir string
}

// Image is the host path of the bootable kernel image.
func (k Kernel) Image() string {
	return k.part(filepath.Join("boot", "vmlinuz-"+k.Release), "vmlinuz")
}

// Config is the host path of the kernel's build configuration.
func (k Kernel) Config() string {
	return k.part(filepath.Join("boot", "config-"+k.Release), "config")
}

// HasIPE tells whether the kernel was built with IPE of its own.
func (k Kernel) HasIPE() (bool, error) {
	config, err := os.ReadFile(k.Config())
	if err != nil {
		return false, fmt.Errorf("read configuration of kernel %s: %w", k.Name, err)
	}
	return slices.Contains(strings.Split(string(config), "\n"), "CONFIG_SECURITY_IPE=y"), nil
}

// part is where a file is: in /boot, or with the modules, as newer packages have it.
func (k Kernel) part(inBoot, withModules string) string {
	if file := filepath.Join(k.Dir, inBoot); exists(file) {
		return file
	}
	return filepath.Join(k.moduleDir(), withModules)
}

// moduleDir is the host directory of the kernel's modules.
func (k Kernel) moduleDir() string { return filepath.Join(moduleRoot(k.Dir), k.Release) }

// moduleRoot is the directory of all modules in an unpacked package.
func moduleRoot(dir string) string {
	if old := filepath.Join(dir, "lib", "modules"); exists(old) {
		return old
	}
	return filepath.Join(dir, "usr", "lib", "modules")
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// ErrUnknownKernel means that no kernel series of that name is tested.
var ErrUnknownKernel = errors.New("no such kernel series")

// origin is where a series comes from.
type origin struct {
	// meta depends on the newest package of the series.
	meta string
	// suite is where it is, if not among the machine's own suites.
	suite string
}

// origins names no version, because archives drop old ones.
var origins = map[string]origin{
	"6.1":    {meta: "linux-image-cloud-amd64"},
	"6.12":   {meta: "linux-image-6.12-cloud-amd64"},
	"newest": {meta: "linux-image-cloud-amd64", suite: "trixie-backports"},
}

// KernelNames lists the series that everything is tested on, oldest first: the
// oldest kernel supported, which has no IPE; one that has IPE itself; and the
// newest that Debian builds for a release.
func KernelNames() []string { return []string{"6.1", "6.12", "newest"} }

// Kernels gives every kernel of KernelNames, from the cache or else from the
// Debian archive.
func Kernels(ctx context.Context) ([]Kernel, error) {
	var all []Kernel
	for _, name := range KernelNames() {
		k, err := FindKernel(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, nil
}

// FindKernel gives one kernel. With a warm cache it needs neither network nor apt.
func FindKernel(ctx context.Context, name string) (Kernel, error) {
	return withKernelCache(name, func(cache string) (Kernel, error) {
		k, err := cached(cache, name)
		if errors.Is(err, fs.ErrNotExist) {
			return fetch(ctx, cache, name)
		}
		return k, err
	})
}

// UpdateKernel makes the newest package of the series that the archive has the
// one in use. Other versions stay in the cache, for guests that run them now.
func UpdateKernel(ctx context.Context, name string) (Kernel, error) {
	return withKernelCache(name, func(cache string) (Kernel, error) {
		return fetch(ctx, cache, name)
	})
}

func withKernelCache(name string, get func(cache string) (Kernel, error)) (Kernel, error) {
	if !slices.Contains(KernelNames(), name) {
		return Kernel{}, fmt.Errorf("find kernel %q: %w", name, ErrUnknownKernel)
	}
	cache, err := CacheDir()
	if err != nil {
		return Kernel{}, err
	}
	unlock, err := Lock(cache, name)
	if err != nil {
		return Kernel{}, err
	}
	defer unlock()
	return get(cache)
}

// cached reads the link that names the unpacked package in use; fs.ErrNotExist
// when there is none.
func cached(cache, name string) (Kernel, error) {
	dir, err := os.Readlink(filepath.Join(cache, name))
	if err != nil {
		return Kernel{}, fmt.Errorf("find kernel %s: %w", name, err)
	}
	return open(cache, name, dir)
}

// open checks that an unpacked package holds one kernel.
func open(cache, name, dir string) (Kernel, error) {
	k := Kernel{Name: name, Package: dir, Dir: filepath.Join(cache, dir)}
	releases, err := os.ReadDir(moduleRoot(k.Dir))
	if err != nil {
		return Kernel{}, fmt.Errorf("open kernel %s: %w", name, err)
	}
	if len(releases) != 1 {
		return Kernel{}, fmt.Errorf("open kernel %s: %s holds %d kernels", name, dir, len(releases))
	}
	k.Release = releases[0].Name()
	if _, err := os.Stat(k.Image()); err != nil {
		return Kernel{}, fmt.Errorf("open kernel %s: %w", name, err)
	}
	return k, nil
}
