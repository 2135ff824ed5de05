//go:build linux

package vmtest

import (
	"context"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ipe-linux/ipe/internal/lab/vm"
)

// tag is the build constraint of tests that run in a guest.
const tag = "guest"

// built remembers test binaries by directory: one package runs on several kernels.
var built sync.Map

// binary gives the package's test binary and its testdata, as files of the guest.
func binary(ctx context.Context, dir string) (vm.Files, error) {
	once, _ := built.LoadOrStore(dir, sync.OnceValues(func() ([]byte, error) {
		return compile(ctx)
	}))
	data, err := once.(func() ([]byte, error))()
	if err != nil {
		return nil, fmt.Errorf("build guest tests: %w", err)
	}
	files := vm.Files{Program: {Data: data, Mode: 0o755}}
	return files, addTree(files, filepath.Join(dir, "testdata"), path.Join(guestDir, "testdata"))
}

func compile(ctx context.Context) ([]byte, error) {
	tmp, err := os.MkdirTemp("", "vmtest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	file := filepath.Join(tmp, "guest.test")
	if err := vm.GoCommand(ctx, "test", "-c", "-tags", tag, "-o", file, "."); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

// addTree adds the regular files below a directory of the host, if there is one.
func addTree(files vm.Files, host, guest string) error {
	if _, err := os.Stat(host); err != nil {
		return nil
	}
	return filepath.WalkDir(host, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(host, name)
		if err != nil {
			return err
		}
		files[path.Join(guest, filepath.ToSlash(rel))] = vm.File{Host: name}
		return nil
	})
}

// guestTests lists the tests that exist only with the constraint.
func guestTests(dir string) ([]string, error) {
	without, err := testFiles(dir)
	if err != nil {
		return nil, err
	}
	with, err := testFiles(dir, tag)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, file := range with {
		if slices.Contains(without, file) {
			continue
		}
		more, err := testNames(filepath.Join(dir, file))
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("find guest tests: no test in %s has the build constraint %q", dir, tag)
	}
	return names, nil
}

func testFiles(dir string, tags ...string) ([]string, error) {
	ctx := build.Default
	ctx.BuildTags, ctx.CgoEnabled = tags, false
	pkg, err := ctx.ImportDir(dir, 0)
	if pkg == nil || (err != nil && len(pkg.TestGoFiles)+len(pkg.XTestGoFiles) == 0) {
		return nil, fmt.Errorf("find guest tests: %w", err)
	}
	return slices.Concat(pkg.TestGoFiles, pkg.XTestGoFiles), nil
}

func testNames(file string) ([]string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("find guest tests: %w", err)
	}
	var names []string
	for _, decl := range parsed.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if ok && fn.Recv == nil && fn.Name.Name != "TestMain" && strings.HasPrefix(fn.Name.Name, "Test") {
			names = append(names, fn.Name.Name)
		}
	}
	return names, nil
}

// trackSources looks, once, at every source file of this module that goes into the guest.
var trackSources = sync.OnceValue(func() error {
	return TrackSources(context.Background(), "-test", "-tags", tag, ".", "github.com/ipe-linux/ipe/internal/lab/vm/guestinit")
})
