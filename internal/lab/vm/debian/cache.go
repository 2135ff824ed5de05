package debian

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/eintr"
)

// CacheDir is where kernels and the guest's init program are kept between runs:
// $IPE_KERNEL_CACHE, or ipe/kernels in the user's cache directory. It is created
// when it does not exist.
func CacheDir() (string, error) {
	dir := os.Getenv("IPE_KERNEL_CACHE")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find kernel cache: %w", err)
		}
		dir = filepath.Join(user, "ipe", "kernels")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make kernel cache: %w", err)
	}
	return filepath.Abs(dir)
}

// Lock excludes every other process that locks the same name in dir, until the
// function it gives is called.
func Lock(dir, name string) (unlock func(), err error) {
	unlock, err = lock(dir, name, unix.LOCK_EX)
	if err != nil {
		err = fmt.Errorf("lock %s: %w", name, err)
	}
	return unlock, err
}

// TryLock is Lock without waiting: ok is false if another has it.
func TryLock(dir, name string) (unlock func(), ok bool, err error) {
	unlock, err = lock(dir, name, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("lock %s: %w", name, err)
	}
	return unlock, true, nil
}

func lock(dir, name string, how int) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, name+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := eintr.Again(func() error { return unix.Flock(int(f.Fd()), how) }); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
