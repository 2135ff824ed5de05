package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/manifest"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/verity/fsverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// counter is progress that is counted.
type counter struct{ n atomic.Int64 }

func (c *counter) Add(n int64) { c.n.Add(n) }

func (c *counter) UpTo() func(int64) {
	last := int64(0)
	return func(done int64) {
		c.Add(done - last)
		last = done
	}
}

func write(t *testing.T, path string, content []byte, mode fs.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, mode), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

func hashed(t *testing.T, p fsverity.Params, data []byte) digest.Digest {
	t.Helper()
	d, err := fsverity.FileDigest(t.Context(), bytes.NewReader(data), int64(len(data)), p, merkle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestAll: each file has the digest of its content, however it is read, and all bytes are
// counted.
func TestAll(t *testing.T) {
	dir := t.TempDir()
	data := bytes.Repeat([]byte("0123456789"), largeFile/10+100)
	p := fsverity.Params{Algorithm: "sha512", BlockSize: 1024, Salt: []byte{1}}
	total := int64(0)
	var want []Result
	for i, size := range []int{0, 1, 4096, smallFile - 1, smallFile, smallFile + 1, largeFile - 1, largeFile} {
		name := fmt.Sprintf("%s/tree/%d", dir, i)
		write(t, name, data[:size], 0o640)
		total += int64(size)
		want = append(want, Result{Path: name, Size: int64(size), Mode: 0o640, Digest: hashed(t, p, data[:size]), Op: policy.OpExecute})
	}
	var done counter
	tree := walk.Tree{Args: []string{dir + "/absent", dir + "/tree", dir + "/tree/0"}}
	var got []Result
	err := All(t.Context(), Measurer{Params: p, Progress: &done, Operations: true}, Found(tree.Files), func(r Result) error {
		got = append(got, r)
		return nil
	})
	if err != nil || len(got) != len(want)+2 {
		t.Fatalf("%d files, %v", len(got), err)
	}
	if absent := got[0]; !errors.Is(absent.Err, fs.ErrNotExist) || absent.Path != dir+"/absent" {
		t.Errorf("absent: %+v", absent)
	}
	same := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".ID" }, cmp.Ignore())
	if diff := cmp.Diff(append(want, want[0]), got[1:], same, cmp.Comparer(digest.Digest.Equal)); diff != "" {
		t.Error(diff)
	}
	if got[1].ID != got[len(got)-1].ID || got[1].ID == got[2].ID {
		t.Error("files are not told apart")
	}
	if n := done.n.Load(); n != total {
		t.Errorf("%d bytes are done, want %d", n, total)
	}
}

// TestAllStops: the first error of who is told is the end.
func TestAllStops(t *testing.T) {
	dir := t.TempDir()
	for i := range 100 {
		write(t, fmt.Sprintf("%s/%02d", dir, i), nil, 0o600)
	}
	n, stop := 0, errors.New("enough")
	err := All(t.Context(), Measurer{Progress: &counter{}}, Found((&walk.Tree{Args: []string{dir}}).Files), func(Result) error {
		if n++; n == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || n != 3 {
		t.Errorf("%d files, %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := All(ctx, Measurer{Progress: &counter{}}, Found((&walk.Tree{Args: []string{dir}}).Files), func(Result) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestOnlyJudged: what is not asked for is neither measured nor told of.
func TestOnlyJudged(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/notes", []byte("notes"), 0o644)
	write(t, dir+"/run", []byte("run"), 0o755)
	tree := walk.Tree{Args: []string{dir}, Executable: true}
	var got []string
	if err := All(t.Context(), Measurer{Progress: &counter{}}, Found(tree.Files), func(r Result) error {
		got = append(got, filepath.Base(r.Path))
		return r.Err
	}); err != nil || !slices.Equal(got, []string{"run"}) {
		t.Errorf("%q, %v", got, err)
	}
}

// TestInKernel: a file without fs-verity is an error, and so is it that there is none.
func TestInKernel(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", []byte("a"), 0o644)
	write(t, dir+"/b", []byte("bb"), 0o644)
	var got []string
	err := InKernel(t.Context(), &walk.Tree{Args: []string{dir, dir + "/absent"}}, func(r Result) error {
		if r.Err == nil {
			t.Errorf("%s: %v", r.Path, r.Digest)
		}
		got = append(got, fmt.Sprint(filepath.Base(r.Path), r.Size))
		return nil
	})
	if want := []string{"a1", "b2", "absent0"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	err = InKernel(t.Context(), &walk.Tree{Args: []string{dir}, Globs: []string{"x"}}, func(r Result) error {
		t.Errorf("%s", r.Path)
		return nil
	})
	if err == nil || err.Error() != dir+": no file is asked for" {
		t.Error(err)
	}
}

// TestTree: the tree is written, and its descriptor is that of the file's digest.
func TestTree(t *testing.T) {
	dir := t.TempDir()
	data := bytes.Repeat([]byte("0123456789"), 10000)
	write(t, dir+"/file", data, 0o644)
	for _, tree := range []string{"", dir + "/tree"} {
		d, err := Tree(t.Context(), dir+"/file", tree, fsverity.Params{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.FileDigest()
		if want := hashed(t, fsverity.Params{}, data); err != nil || !got.Equal(want) {
			t.Errorf("tree %q: %v, %v; want %v", tree, got, err, want)
		}
	}
	// 25 blocks have 25 hashes, which are one block.
	if st, err := os.Stat(dir + "/tree"); err != nil || st.Size() != 4096 {
		t.Errorf("%v, %v", st, err)
	}
	if _, err := Tree(t.Context(), dir+"/absent", dir+"/other", fsverity.Params{}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := os.Stat(dir + "/other"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing, a tree: %v", err)
	}
}

// TestList: each path is listed once, and what cannot be is refused.
func TestList(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/out", nil, 0o644)
	id, err := walk.Identify(dir + "/out")
	if err != nil {
		t.Fatal(err)
	}
	var l List
	l.Mind("it is replaced", dir+"/out", dir+"/absent")
	d := hashed(t, fsverity.Params{}, nil)
	e, err := l.Entry(Result{Path: "a//b", Mode: 0o755, Size: 3, Digest: d})
	if diff := cmp.Diff(&manifest.Entry{Path: "a/b", Mode: "0755", Size: 3, Digest: d}, e, cmp.Comparer(digest.Digest.Equal)); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if e, err := l.Entry(Result{Path: "./a/b"}); e != nil || err != nil || l.Len() != 1 {
		t.Errorf("again: %v, %v; %d paths", e, err, l.Len())
	}
	var refused *manifest.PathError
	if e, err := l.Entry(Result{Path: dir + "/other/name", ID: id}); e != nil || !errors.As(err, &refused) || refused.Reason != "it is replaced" {
		t.Errorf("replaced: %v, %v", e, err)
	}
	if e, err := l.Entry(Result{Path: "../a"}); e != nil || !errors.As(err, &refused) {
		t.Errorf("above: %v, %v", e, err)
	}
}
