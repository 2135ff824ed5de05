package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// fetch downloads and unpacks the packages that the series' metapackage leads to
// and makes them the kernel in use. The caller holds the lock of the series. Nothing
// is installed on the host; a crash leaves no half-unpacked kernel in use.
func fetch(ctx context.Context, cache, name string) (Kernel, error) {
	k, err := fetchSeries(ctx, cache, name)
	if err != nil {
		return Kernel{}, fmt.Errorf("fetch kernel %s: %w (scripts/setup prepares the machine)", name, err)
	}
	return k, nil
}

func fetchSeries(ctx context.Context, cache, name string) (Kernel, error) {
	from := origins[name]
	a, err := openArchive(ctx, cache, from.suite)
	if err != nil {
		return Kernel{}, err
	}
	packages, err := a.resolve(ctx, from.meta)
	if err != nil {
		return Kernel{}, err
	}
	dir := packages[0].name + "_" + packages[0].version
	if _, err := open(cache, name, dir); err != nil {
		if err := a.unpack(ctx, packages, filepath.Join(cache, dir)); err != nil {
			return Kernel{}, err
		}
	}
	k, err := open(cache, name, dir)
	if err != nil {
		return Kernel{}, err
	}
	return k, relink(dir, filepath.Join(cache, name))
}

// resolve finds the image package that a metapackage asks for, and all packages of
// the same kernel that this one needs: newer ones are in several parts.
func (a archive) resolve(ctx context.Context, meta string) ([]dependency, error) {
	description, err := a.show(ctx, meta)
	if err != nil {
		return nil, err
	}
	image, err := imageOf(exactDepends(description))
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", meta, err)
	}
	all := []dependency{image}
	for i := 0; i < len(all); i++ {
		description, err := a.show(ctx, all[i].name)
		if err != nil {
			return nil, err
		}
		for _, d := range exactDepends(description) {
			if !slices.Contains(all, d) {
				all = append(all, d)
			}
		}
	}
	return all, nil
}

// imageOf picks the kernel image among a metapackage's dependencies.
func imageOf(needs []dependency) (dependency, error) {
	for _, d := range needs {
		if strings.HasPrefix(d.name, "linux-image-") {
			return d, nil
		}
	}
	return dependency{}, errors.New("it depends on no exact image package")
}

// unpack downloads packages and unpacks them as dst, which appears whole or not at all.
func (a archive) unpack(ctx context.Context, packages []dependency, dst string) error {
	tmp, err := os.MkdirTemp(filepath.Dir(dst), ".unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	args := []string{"download"}
	for _, p := range packages {
		args = append(args, p.name+"="+p.version)
	}
	if _, err := a.run(ctx, tmp, "apt-get", args...); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) != len(packages) {
		return fmt.Errorf("download %v: %d packages came", packages, len(debs))
	}
	root := filepath.Join(tmp, "root")
	for _, deb := range debs {
		if _, err := Output(ctx, tmp, "dpkg-deb", "-x", deb, root); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(dst); err != nil {
		return err
	}
	return os.Rename(root, dst)
}

// relink points the symbolic link at target in one step.
func relink(target, link string) error {
	tmp := link + ".new"
	if err := os.Remove(tmp); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, link)
}

// Output runs a host command in dir and gives its standard output; its standard
// error goes into the error.
func Output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run %s: %w: %s", name, err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}
