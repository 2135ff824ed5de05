package debian

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Module gives the bytes of a kernel module, uncompressed, as in the package
// otherwise (so its signature is whole).
func (k Kernel) Module(ctx context.Context, name string) ([]byte, error) {
	index, err := k.Modules()
	if err != nil {
		return nil, err
	}
	file, ok := index[ModuleName(name)]
	if !ok || file == "" {
		return nil, fmt.Errorf("find module %s of %s: %w", name, k.Release, fs.ErrNotExist)
	}
	return ReadModule(ctx, file)
}

// Modules maps module names to host files; modules built into the kernel have "".
func (k Kernel) Modules() (map[string]string, error) {
	index := map[string]string{}
	builtin, err := os.ReadFile(filepath.Join(k.moduleDir(), "modules.builtin"))
	if err != nil {
		return nil, fmt.Errorf("list modules of %s: %w", k.Release, err)
	}
	for file := range strings.FieldsSeq(string(builtin)) {
		index[ModuleName(file)] = ""
	}
	err = filepath.WalkDir(filepath.Join(k.moduleDir(), "kernel"), func(file string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			index[ModuleName(file)] = file
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list modules of %s: %w", k.Release, err)
	}
	return index, nil
}

// ModuleName is the kernel's name of a module, given that or a file's name: "-"
// and "_" are the same to modprobe.
func ModuleName(file string) string {
	base, _, _ := strings.Cut(filepath.Base(file), ".ko")
	return strings.ReplaceAll(base, "-", "_")
}

// ReadModule reads a module's file, through xz when it is compressed.
func ReadModule(ctx context.Context, file string) ([]byte, error) {
	if !strings.HasSuffix(file, ".xz") {
		return os.ReadFile(file)
	}
	out, err := exec.CommandContext(ctx, "xz", "-dc", file).Output()
	if err != nil {
		return nil, fmt.Errorf("decompress %s: %w", filepath.Base(file), err)
	}
	return out, nil
}
