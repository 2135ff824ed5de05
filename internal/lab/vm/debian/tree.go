package debian

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// merged are the directories that Debian keeps below /usr, with a link at the old place.
// Packages still bring the old ones.
var merged = []string{"bin", "lib", "lib64", "sbin"}

// Tree gives a directory in which Debian packages are unpacked, and all that they depend on,
// as on a machine that has no others. What packages run when they are installed has not
// run. It is kept in the cache, by the names of the packages; with a warm one this needs
// neither network nor apt.
func Tree(ctx context.Context, packages ...string) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	dst, err := keep(cache, "tree", packages, func(tmp string) (string, error) { return unpackTree(ctx, cache, tmp, packages) })
	if err != nil {
		return "", fmt.Errorf("fetch %d packages: %w (scripts/setup prepares the machine)", len(packages), err)
	}
	return dst, nil
}

// keep gives a directory of the cache that is made of packages. It appears whole or not
// at all: fill makes it in an empty directory, and says where.
func keep(cache, kind string, packages []string, fill func(tmp string) (string, error)) (string, error) {
	name := fmt.Sprintf("%s-%.12x", kind, sha256.Sum256([]byte(strings.Join(packages, " "))))
	dst := filepath.Join(cache, name)
	unlock, err := Lock(cache, name)
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dst); err == nil {
		return dst, nil
	}
	tmp, err := os.MkdirTemp(cache, "."+kind+"-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	made, err := fill(tmp)
	if err != nil {
		return "", err
	}
	return dst, os.Rename(made, dst)
}

func unpackTree(ctx context.Context, cache, tmp string, packages []string) (root string, err error) {
	debs, err := downloadAll(ctx, cache, tmp, packages)
	if err != nil {
		return "", err
	}
	root = filepath.Join(tmp, "root")
	for _, deb := range debs {
		if _, err := Output(ctx, tmp, "dpkg-deb", "-x", deb, root); err != nil {
			return "", err
		}
	}
	for _, dir := range merged {
		if err := merge(ctx, root, dir); err != nil {
			return "", fmt.Errorf("merge %s: %w", dir, err)
		}
	}
	return root, nil
}

// downloadAll has apt find what the packages need where nothing is installed.
func downloadAll(ctx context.Context, cache, tmp string, packages []string) (debs []string, err error) {
	a, err := openArchive(ctx, cache, "")
	if err != nil {
		return nil, err
	}
	status, archives := filepath.Join(tmp, "status"), filepath.Join(tmp, "archives")
	if err := os.WriteFile(status, nil, 0o644); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(archives, "partial"), 0o755); err != nil {
		return nil, err
	}
	a.options = append(a.options, "-o", "Dir::State::status="+status, "-o", "Dir::Cache::archives="+archives, "-o", "Debug::NoLocking=1")
	if _, err := a.run(ctx, tmp, "apt-get", append([]string{"install", "--download-only", "--no-install-recommends", "--yes"}, packages...)...); err != nil {
		return nil, err
	}
	debs, err = filepath.Glob(filepath.Join(archives, "*.deb"))
	if err == nil && len(debs) < len(packages) {
		err = fmt.Errorf("%d files came for %d packages", len(debs), len(packages))
	}
	return debs, err
}

// merge moves what is in a directory below usr, and leaves a link.
func merge(ctx context.Context, root, dir string) error {
	old, place := filepath.Join(root, dir), filepath.Join(root, "usr", dir)
	if err := os.MkdirAll(place, 0o755); err != nil {
		return err
	}
	if err := os.MkdirAll(old, 0o755); err != nil {
		return err
	}
	if _, err := Output(ctx, root, "cp", "-al", old+"/.", place); err != nil {
		return err
	}
	if err := os.RemoveAll(old); err != nil {
		return err
	}
	return os.Symlink("usr/"+dir, old)
}
