package testvm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Kernel is an unpacked kernel package.
type Kernel struct {
	// Name is the series, "6.1" or "6.12".
	Name string
	// Release is what uname -r prints in the guest.
	Release string
	// Package is the Debian package and its version, for reports.
	Package string
	// Dir is the root of the unpacked package.
	Dir string
}

// Image is the host path of the bootable kernel image.
func (k Kernel) Image() string { return filepath.Join(k.Dir, "boot", "vmlinuz-"+k.Release) }

// Config is the host path of the kernel's build configuration.
func (k Kernel) Config() string { return filepath.Join(k.Dir, "boot", "config-"+k.Release) }

// moduleDir is the host directory of the kernel's modules.
func (k Kernel) moduleDir() string { return filepath.Join(k.Dir, "lib", "modules", k.Release) }

// ErrUnknownKernel means that no kernel series of that name is tested.
var ErrUnknownKernel = errors.New("no such kernel series")

// metapackages depend on the newest package of their series. No version is ever
// pinned, because archives drop old ones.
var metapackages = map[string]string{
	"6.1":  "linux-image-cloud-amd64",
	"6.12": "linux-image-6.12-cloud-amd64",
}

// KernelNames lists the series that everything is tested on, oldest first: the
// oldest kernel supported, which has no IPE, and one that has IPE itself.
func KernelNames() []string { return []string{"6.1", "6.12"} }

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
	unlock, err := lock(cache, name)
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
	releases, err := os.ReadDir(filepath.Join(k.Dir, "lib", "modules"))
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
