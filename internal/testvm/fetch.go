package testvm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// fetch downloads and unpacks the package that the series' metapackage depends on
// and makes it the one in use. The caller holds the lock of the series. Nothing
// is installed on the host; a crash leaves no half-unpacked kernel in use.
func fetch(ctx context.Context, cache, name string) (Kernel, error) {
	pkg, version, err := resolve(ctx, metapackages[name])
	if err != nil {
		return Kernel{}, fmt.Errorf("fetch kernel %s: %w (scripts/setup prepares the machine)", name, err)
	}
	dir := pkg + "_" + version
	if _, err := open(cache, name, dir); err != nil {
		if err := unpack(ctx, pkg+"="+version, filepath.Join(cache, dir)); err != nil {
			return Kernel{}, fmt.Errorf("fetch kernel %s: %w", name, err)
		}
	}
	k, err := open(cache, name, dir)
	if err != nil {
		return Kernel{}, err
	}
	if err := relink(dir, filepath.Join(cache, name)); err != nil {
		return Kernel{}, fmt.Errorf("fetch kernel %s: %w", name, err)
	}
	return k, nil
}

// resolve finds the image package, and its version, that a metapackage asks for.
func resolve(ctx context.Context, meta string) (pkg, version string, err error) {
	out, err := output(ctx, "", "apt-cache", "show", "--no-all-versions", meta)
	if err != nil {
		return "", "", err
	}
	return parseDepends(out)
}

// parseDepends reads "Depends: linux-image-X (= V)" from a package description.
func parseDepends(description string) (pkg, version string, err error) {
	for line := range strings.Lines(description) {
		list, ok := strings.CutPrefix(line, "Depends:")
		if !ok {
			continue
		}
		for dep := range strings.SplitSeq(list, ",") {
			f := strings.Fields(strings.NewReplacer("(", " ", ")", " ").Replace(dep))
			if len(f) == 3 && f[1] == "=" && strings.HasPrefix(f[0], "linux-image-") {
				return f[0], f[2], nil
			}
		}
	}
	return "", "", fmt.Errorf("resolve metapackage: it depends on no exact image package")
}

// unpack downloads one package and unpacks it as dst, which appears whole or not at all.
func unpack(ctx context.Context, pkg, dst string) error {
	tmp, err := os.MkdirTemp(filepath.Dir(dst), ".unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	// The download user of apt may not enter the cache; run as root, apt would warn.
	if _, err := output(ctx, tmp, "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", pkg); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("download %s: %d packages came", pkg, len(debs))
	}
	root := filepath.Join(tmp, "root")
	if _, err := output(ctx, tmp, "dpkg-deb", "-x", debs[0], root); err != nil {
		return err
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

// output runs a host command in dir and gives its standard output; its standard
// error goes into the error.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
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
