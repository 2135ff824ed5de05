//go:build linux

package appliance

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// fetchPackages downloads a Debian package with all that it depends on, unpacks
// them together and gives the directory. It is kept in the cache of the test
// guests; a second run needs no network, only apt's lists.
func fetchPackages(ctx context.Context, name string) (string, error) {
	cache, err := debian.CacheDir()
	if err != nil {
		return "", err
	}
	link := filepath.Join(cache, name)
	if root, err := filepath.EvalSymlinks(link); err == nil {
		return root, nil
	}
	root, err := downloadPackages(ctx, cache, name)
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w (scripts/setup prepares the machine)", name, err)
	}
	if err := os.Symlink(filepath.Base(root), link); err != nil && !os.IsExist(err) {
		return "", fmt.Errorf("fetch %s: %w", name, err)
	}
	return root, nil
}

// downloadPackages unpacks into a directory named after the versions; it appears
// whole or not at all, also when two processes do the same.
func downloadPackages(ctx context.Context, cache, name string) (string, error) {
	packages, err := closure(ctx, name)
	if err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(cache, ".unpack-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	// Run as root, apt would warn that its download user may not enter the cache.
	args := append([]string{"-q", "-o", "APT::Sandbox::User=root", "download"}, packages...)
	if _, err := run(ctx, tmp, "apt-get", args...); err != nil {
		return "", err
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) != len(packages) {
		return "", fmt.Errorf("download: %d of %d packages came", len(debs), len(packages))
	}
	root, id := filepath.Join(tmp, "root"), sha256.New()
	for _, deb := range debs {
		fmt.Fprintln(id, filepath.Base(deb))
		if _, err := run(ctx, tmp, "dpkg-deb", "-x", deb, root); err != nil {
			return "", err
		}
	}
	dst := filepath.Join(cache, fmt.Sprintf("%s-%x", name, id.Sum(nil)[:6]))
	if err := os.Rename(root, dst); err != nil && !os.IsExist(err) {
		return "", err
	}
	return dst, nil
}

// closure lists the package and, recursively, what it depends on.
func closure(ctx context.Context, name string) ([]string, error) {
	out, err := run(ctx, "", "apt-cache", "depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts",
		"--no-breaks", "--no-replaces", "--no-enhances", name)
	if err != nil {
		return nil, err
	}
	packages := parseClosure(out)
	if !slices.Contains(packages, name) {
		return nil, fmt.Errorf("resolve dependencies of %s: apt knows no such package", name)
	}
	return packages, nil
}

// parseClosure reads apt-cache's list: packages stand at the beginning of lines,
// their relations are indented, names in angle brackets are virtual.
func parseClosure(out string) []string {
	var packages []string
	for line := range strings.Lines(out) {
		name := strings.TrimSpace(line)
		if name != "" && line[0] != ' ' && line[0] != '<' && !slices.Contains(packages, name) {
			packages = append(packages, name)
		}
	}
	return packages
}
