package debian

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// AuditTools are the packages of Debian's auditd that read logs. They are unpacked and
// never installed: the package would start its daemon.
func AuditTools() []string { return []string{"auditd", "libauparse0"} }

// UdevTools is the package of udev, which no machine needs that only builds and tests.
func UdevTools() []string { return []string{"udev"} }

// BtrfsTools is the package that makes file systems of that kind.
func BtrfsTools() []string { return []string{"btrfs-progs"} }

// ErofsTools is the package that makes images of that kind. A host runs what is in it.
func ErofsTools() []string { return []string{"erofs-utils"} }

// XfsTools are the packages that make file systems of that kind, with the libraries that
// nothing else here needs.
func XfsTools() []string { return []string{"xfsprogs", "libinih1", "liburcu8"} }

// Unpacked gives a directory with the files of Debian packages, without those that they
// depend on. It is kept in the cache; with a warm one this needs neither network nor apt.
func Unpacked(ctx context.Context, packages ...string) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	dst := filepath.Join(cache, packages[0])
	unlock, err := Lock(cache, packages[0])
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dst); err == nil {
		return dst, nil
	}
	if err := unpackNewest(ctx, cache, dst, packages); err != nil {
		return "", fmt.Errorf("fetch %v: %w (scripts/setup prepares the machine)", packages, err)
	}
	return dst, nil
}

func unpackNewest(ctx context.Context, cache, dst string, packages []string) error {
	a, err := openArchive(ctx, cache, "")
	if err != nil {
		return err
	}
	var exact []dependency
	for _, p := range packages {
		description, err := a.show(ctx, p)
		if err != nil {
			return err
		}
		exact = append(exact, dependency{p, versionOf(description)})
	}
	return a.unpack(ctx, exact, dst)
}
