package debian

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// installer makes a system of packages in a directory.
const installer = "mmdebstrap"

// Installed gives a directory with a whole system of Debian packages, and all that they
// depend on, as their installation leaves it: with users, keys and links. It is kept in
// the cache, by the names of the packages; with a warm one this needs neither network nor
// apt. It needs root, whose files they are.
func Installed(ctx context.Context, packages ...string) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	dst, err := keep(cache, "installed", packages, func(tmp string) (string, error) { return install(ctx, cache, tmp, packages) })
	if err != nil {
		return "", fmt.Errorf("install %d packages: %w (scripts/setup prepares the machine)", len(packages), err)
	}
	return dst, nil
}

func install(ctx context.Context, cache, tmp string, packages []string) (root string, err error) {
	tool, err := Unpacked(ctx, installer)
	if err != nil {
		return "", err
	}
	a, err := openArchive(ctx, cache, "")
	if err != nil {
		return "", err
	}
	mirror, err := a.mirror(ctx)
	if err != nil {
		return "", err
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	suite := codename(string(release))
	root = filepath.Join(tmp, "root")
	_, err = Output(ctx, tmp, filepath.Join(tool, "usr", "bin", installer), "--mode=root", "--variant=minbase", "--format=directory",
		"--include="+strings.Join(packages, ","), suite, root, fmt.Sprintf("deb [signed-by=%s] %s %s main", keyring, mirror, suite))
	return root, err
}
